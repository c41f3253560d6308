from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

class Migration(migrations.Migration):
    dependencies = [("models", "0008_effect_lanes")]

    initial = False

    operations = [
        ops.AddField(
            model_name="ApiToken",
            name="creator",
            field=fields.ForeignKeyField(
                "models.ApiToken",
                source_field="creator_id",
                null=True,
                db_constraint=True,
                to_field="id",
                related_name=False,
                on_delete=OnDelete.RESTRICT,
            ),
        ),
        ops.AddField(
            model_name="SearchTerm", name="personal", field=fields.BooleanField(default=True, db_default=True)
        ),
        # Of tokens that are there, and of those that workers of the version before create meanwhile.
        ops.AddField(
            model_name="ApiToken",
            name="implies_customers_read",
            field=fields.BooleanField(default=False, db_default=True),
        ),
    ]
