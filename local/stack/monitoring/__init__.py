"""Prometheus and Alertmanager beside a stack: the alerts of the cluster, locally.

`make up MONITORING=1` starts them. Brokers give their metrics by the reporter that
Strimzi puts into its own, Postgres by an exporter with the operator's queries, and our
programs by their health ports.
"""
