"""Mail and webhooks: what operators are told without asking.

The notifier runs where the coordinator runs. It reads the coordinator's log, turns facts into
deliveries, keeps both in the topic `notifications`, and sends them. `outbox` decides and is pure;
`mail` and `webhook` send. Imports `agents.requests`. Begin with `notifier`.
"""
