from tortoise import migrations
from tortoise.migrations import operations as ops
from models.enums import AutomationKind, EffectKind, EffectState, RequestStatus
from models.engine.fields import UtcField
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0002_delivery_notes')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Automation',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('kind', fields.CharEnumField(description='', enum_type=AutomationKind, max_length=32)),
                ('channel', fields.ForeignKeyField('models.Channel', source_field='channel_id', null=True, db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.RESTRICT)),
                ('enabled', fields.BooleanField(default=False)),
            ],
            options={'table': 'automations', 'app': 'models', 'unique_together': (('kind', 'channel'),), 'pk_attr': 'id', 'table_description': 'That a rule acts by itself in a channel, or in all that have no row of their own where `channel` is null.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Effect',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('event', fields.ForeignKeyField('models.OrderEvent', source_field='event_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.RESTRICT)),
                ('order', fields.ForeignKeyField('models.Order', source_field='order_id', db_constraint=True, to_field='id', related_name='effects', on_delete=OnDelete.RESTRICT)),
                ('channel', fields.ForeignKeyField('models.Channel', source_field='channel_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.RESTRICT)),
                ('kind', fields.CharEnumField(description='', enum_type=EffectKind, max_length=32)),
                ('subject', fields.CharField(default='', max_length=64)),
                ('target', fields.CharField(default='', max_length=255)),
                ('state', fields.CharEnumField(default=EffectState.WAITING, description='', enum_type=EffectState, max_length=16)),
                ('attempts', fields.IntField(default=0)),
                ('due_at', UtcField(auto_now=False, auto_now_add=False)),
                ('leased_until', UtcField(null=True, auto_now=False, auto_now_add=False)),
                ('error', fields.CharField(null=True, max_length=1024)),
                ('data', fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ('created_at', UtcField(auto_now=False, auto_now_add=False)),
                ('finished_at', UtcField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'effects', 'app': 'models', 'unique_together': (('event', 'kind', 'subject', 'target'),), 'indexes': [Index(fields=['state', 'due_at']), Index(fields=['order_id', 'created_at'])], 'pk_attr': 'id', 'table_description': 'Something that is to happen once because of an event, outside of this database or by itself.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='EffectPosition',
            fields=[
                ('name', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('position', fields.BigIntField()),
            ],
            options={'table': 'effect_positions', 'app': 'models', 'pk_attr': 'name', 'table_description': 'Up to where the log has been looked through for effects. Who holds the row does so.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='FulfillmentService',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('code', fields.CharField(unique=True, max_length=64)),
                ('name', fields.CharField(max_length=255)),
                ('email', fields.CharField(null=True, max_length=255)),
                ('url', fields.CharField(null=True, max_length=2048)),
                ('secret', fields.CharField(null=True, max_length=255)),
                ('created_at', UtcField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'fulfillment_services', 'app': 'models', 'pk_attr': 'id', 'table_description': 'Somebody who packs and ships for the merchant. Requests go to `url`, signed with `secret`, or to `email`.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='ApiToken',
            name='service',
            field=fields.ForeignKeyField('models.FulfillmentService', source_field='service_id', null=True, db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.RESTRICT),
        ),
        ops.AddField(
            model_name='Fulfillment',
            name='rejection',
            field=fields.CharField(null=True, max_length=1024),
        ),
        ops.AddField(
            model_name='Fulfillment',
            name='request_status',
            field=fields.CharEnumField(null=True, description='', enum_type=RequestStatus, max_length=16),
        ),
        ops.AddField(
            model_name='Fulfillment',
            name='service',
            field=fields.ForeignKeyField('models.FulfillmentService', source_field='service_id', null=True, db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.RESTRICT),
        ),
        ops.AddField(
            model_name='Order',
            name='held_at',
            field=UtcField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='Order',
            name='hold_reason',
            field=fields.CharField(null=True, max_length=1024),
        ),
        ops.AddField(
            model_name='OrderLine',
            name='download_url',
            field=fields.CharField(null=True, max_length=2048),
        ),
        ops.AddField(
            model_name='OrderLine',
            name='service',
            field=fields.ForeignKeyField('models.FulfillmentService', source_field='service_id', null=True, db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.RESTRICT),
        ),
        ops.AddField(
            model_name='Transaction',
            name='failure',
            field=fields.CharField(null=True, max_length=1024),
        ),
        ops.AddIndex(
            model_name='Transaction',
            index=Index(fields=['reference']),
        ),
    ]
