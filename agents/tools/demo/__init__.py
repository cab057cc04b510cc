"""The demo: a seeded day of events; the demo shows and checks every claim."""
