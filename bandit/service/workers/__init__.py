"""The worker processes of the API and of `up`, and the server in each."""
