from tortoise import migrations
from tortoise.migrations import operations as ops
from models.engine.fields import UtcField
from tortoise.fields.base import OnDelete
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0003_effects')]

    initial = False

    operations = [
        ops.CreateModel(
            name='RetiredSecret',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('token', fields.ForeignKeyField('models.ApiToken', source_field='token_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.RESTRICT)),
                ('hash', fields.CharField(unique=True, max_length=64)),
                ('good_until', UtcField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'retired_secrets', 'app': 'models', 'indexes': [Index(fields=['token_id'])], 'pk_attr': 'id', 'table_description': 'A secret that a token had before it was given another one, and that is good until `good_until`.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='ApiToken',
            name='created_by',
            field=fields.CharField(null=True, max_length=255),
        ),
        ops.AddField(
            model_name='ApiToken',
            name='last_used_at',
            field=UtcField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='ApiToken',
            name='revoked_by',
            field=fields.CharField(null=True, max_length=255),
        ),
    ]
