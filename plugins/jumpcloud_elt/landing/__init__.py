"""What lies in landing: layout, files, units, snapshots, manifests, capabilities, the record of actions."""
