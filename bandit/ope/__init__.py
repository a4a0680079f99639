"""Off-policy evaluation: what other policies would have earned, estimated from a log.

`evaluate` compares policies and `tune` searches settings; `creatives` estimates each creative.
`tables` takes tables of any kind, for notebooks and the command.
`estimators` holds the estimators, which take columns, and `readers` the logs that can be read.
"""
