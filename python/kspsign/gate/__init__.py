"""The gate: asks Azure DevOps whether a build's verdict permits a release.

Its parts are imported one by one: `settings` for the options alone, `deciding` where it is run.
"""
