from tortoise import migrations
from tortoise.migrations import operations as ops
from models.engine.fields import UtcField
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0007_retired_service_secrets')]

    initial = False

    operations = [
        ops.CreateModel(
            name='FailingCounterpart',
            fields=[
                ('lane', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=128)),
                ('failures', fields.IntField()),
                ('failing_since', UtcField(auto_now=False, auto_now_add=False)),
                ('paused_until', UtcField(null=True, auto_now=False, auto_now_add=False)),
                ('probe_id', fields.UUIDField(null=True)),
                ('error', fields.CharField(max_length=1024)),
            ],
            options={'table': 'failing_counterparts', 'app': 'models', 'pk_attr': 'lane', 'table_description': 'A service outside that effects need and that does not work. One that works has no row.'},
            bases=['Model'],
        ),
        ops.RemoveIndex(
            model_name='Effect',
            name=None,
            fields=['state', 'due_at'],
        ),
        ops.AddField(
            model_name='Effect',
            name='lane',
            field=fields.CharField(default='', db_default='', max_length=128),
        ),
        ops.AddIndex(
            model_name='Effect',
            index=Index(fields=['state', 'lane', 'due_at']),
        ),
        # What has ended for good has no lane: it does not wait again, but for an e-mail that is sent once more.
        ops.RunSQL("UPDATE effects SET lane = kind || ':' WHERE state <> 'DONE'"),
    ]
