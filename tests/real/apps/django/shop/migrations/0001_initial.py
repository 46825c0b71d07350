"""Creates the table of orders. While it is unapplied, `runserver` says so."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
        migrations.CreateModel(
            name="Order",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("customer", models.CharField(max_length=80)),
                ("placed", models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
