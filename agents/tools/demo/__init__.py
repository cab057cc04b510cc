"""The demo: a seeded day of events, and the show that checks every claim made on it."""
