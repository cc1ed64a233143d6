"""What the user asked for: one frozen, validated description, and how its texts are parsed."""
