"""The columns of a table, as the UI shows them."""

import dagster as dg
from sqlalchemy import Table


def column_schema(table: Table) -> dg.TableSchema:
    """The columns of a table, with their meaning."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description=column.comment,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable), unique=bool(column.primary_key)
                ),
            )
            for column in table.columns
        ]
    )
