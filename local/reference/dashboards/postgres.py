"""Postgres, as the operator's queries, PGO and the Bank tell of it."""

from __future__ import annotations

from local.reference.dashboards.panels import (
    HERE,
    RECORDS,
    SECONDS,
    SHARE,
    Dashboard,
    Panel,
    disk,
    gauge,
    quantile,
)

POSTGRES = Dashboard(
    "postgres/base/dashboard.json",
    "once-ledger",
    "Once: Postgres",
    (
        Panel(
            "Standbys that every commit waits for",
            RECORDS,
            {"standbys": gauge("max", "once_ledger_synchronous_standbys")},
            limits=(1.0,),
        ),
        Panel(
            "COMMIT, with the standby's disk",
            SECONDS,
            {
                name: quantile(
                    share, "once_stage_duration_seconds_bucket", 'stage="commit"'
                )
                for name, share in (("p50", 0.5), ("p99", 0.99))
            },
        ),
        Panel(
            "Connections, of those that there may be",
            SHARE,
            {
                "{{server}}{{pod}}": (
                    f"ccp_connection_stats_total{{{HERE}}}"
                    f" / ccp_connection_stats_max_connections{{{HERE}}}"
                )
            },
            limits=(0.8,),
        ),
        Panel(
            "Roles that have too much",
            RECORDS,
            {"roles": gauge("max", "once_ledger_roles_with_too_much")},
        ),
        Panel(
            "Age of the last backup",
            SECONDS,
            {
                "repository {{repo}}": (
                    "max by (repo) "
                    "(ccp_backrest_last_incr_backup_time_since_completion_seconds"
                    f"{{{HERE}}})"
                )
            },
            limits=(93_600.0,),
        ),
        Panel(
            "Disks: what is free",
            SHARE,
            {"{{persistentvolumeclaim}}": disk("ledger-.+")},
            limits=(0.25,),
        ),
    ),
)
