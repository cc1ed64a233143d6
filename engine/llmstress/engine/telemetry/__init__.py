"""What workers, coordinator and screens share: histograms, messages, the aggregate, the verdict, the record."""
