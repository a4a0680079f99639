"""What a policy would have earned, found from a log: the judging, and the telling of it.

`evaluate` judges policies and `tune` picks among many; `creatives` judges each creative by itself;
`found` holds what was found, `page` draws it. The estimators themselves are in
`bandit.estimators`, and know no logs.
"""
