"""Everything that asks the cluster: before anything is registered, and while pods start. It registers nothing."""
