"""Reading `config.yml`: text to tree, environment, known keys, typed document.

`distcache.settings` is the way in; nothing else imports these modules.
"""
