from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0005_registered_documents')]

    initial = False

    operations = [
        ops.AddField(
            model_name='OrderEvent',
            name='has_effects',
            field=fields.BooleanField(default=True, db_default=True),
        ),
    ]
