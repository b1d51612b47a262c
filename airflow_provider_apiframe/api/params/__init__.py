"""What a request may ask for: the models, their parameters, and the request itself."""
