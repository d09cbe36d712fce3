"""Objects that changed in the cluster since the last `pulumi up`, and orphans."""
