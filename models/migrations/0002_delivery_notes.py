from tortoise import migrations
from tortoise.migrations import operations as ops
from models.engine.fields import UtcField
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from uuid_utils.compat import uuid7
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0001_initial')]

    initial = False

    operations = [
        ops.CreateModel(
            name='DeliveryNote',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('order', fields.ForeignKeyField('models.Order', source_field='order_id', db_constraint=True, to_field='id', related_name='delivery_notes', on_delete=OnDelete.RESTRICT)),
                ('fulfillment', fields.ForeignKeyField('models.Fulfillment', source_field='fulfillment_id', db_constraint=True, to_field='id', related_name='delivery_notes', on_delete=OnDelete.RESTRICT)),
                ('position', fields.IntField()),
                ('number', fields.CharField(unique=True, max_length=64)),
                ('locale', fields.CharField(max_length=35)),
                ('document', fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ('created_at', UtcField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'delivery_notes', 'app': 'models', 'unique_together': (('fulfillment', 'position'),), 'indexes': [Index(fields=['order_id', 'created_at'])], 'pk_attr': 'id', 'table_description': "What a fulfillment's paper says. `document` is all that it shows, as it was when the note was created."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='DeliveryNoteFile',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=uuid7, unique=True, db_index=True)),
                ('delivery_note', fields.OneToOneField('models.DeliveryNote', source_field='delivery_note_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.RESTRICT)),
                ('content', fields.BinaryField()),
                ('created_at', UtcField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'delivery_note_files', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A delivery note as it was rendered the first time: every later copy is this one, byte for byte.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='DeliveryNoteSeries',
            fields=[
                ('name', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('last_number', fields.BigIntField()),
            ],
            options={'table': 'delivery_note_series', 'app': 'models', 'pk_attr': 'name', 'table_description': 'A series of delivery-note numbers. Who takes the next holds the row until its note is committed: no gaps.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='SigningKey',
            fields=[
                ('id', fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('secret', fields.BinaryField()),
                ('created_at', UtcField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'signing_keys', 'app': 'models', 'pk_attr': 'id', 'table_description': 'The secret with which links are signed: one row, which the first process that needs it writes.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='IdempotencyRecord',
            name='result_id',
            field=fields.UUIDField(null=True),
        ),
        ops.AddField(
            model_name='OrderLine',
            name='weight_grams',
            field=fields.IntField(null=True),
        ),
    ]
