"""The processes that serve a policy: the API, the learner, and what starts them."""
