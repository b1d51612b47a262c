"""What the API takes: one strict model for each kind of request, by family of image models.

They are written after the vendor's OpenAPI file and apart from the client, so that they check each
other. JSON types are strict ("30" is no number, true is no number), 30.0 is the integer 30 as in
JavaScript, unknown keys are refused, and a string's length counts UTF-16 units.
"""
