"""What workers, coordinator and screens speak: histograms, messages, the aggregate and its snapshots."""
