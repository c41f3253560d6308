from tortoise import migrations
from tortoise.migrations import operations as ops
from models.engine.fields import UtcField
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0004_tokens')]

    initial = False

    operations = [
        ops.CreateModel(
            name='RegisteredDocument',
            fields=[
                ('hash', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ('identifier', fields.CharField(null=True, unique=True, max_length=255)),
                ('text', fields.TextField(unique=False)),
                ('name', fields.CharField(max_length=255)),
                ('registered_at', UtcField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'registered_documents', 'app': 'models', 'pk_attr': 'hash', 'table_description': 'A GraphQL document that may be sent by callers who may send no other.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='ApiToken',
            name='registered_only',
            field=fields.BooleanField(default=False, db_default=False),
        ),
    ]
