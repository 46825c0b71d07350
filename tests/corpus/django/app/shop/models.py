import os

from django.db import models


class Order(models.Model):
    number = models.CharField(max_length=20)
    paid = models.BooleanField(default=False)


if os.environ.get("SHOP_BROKEN_CHECK"):

    class Invoice(models.Model):
        order = models.ForeignKey("shop.Basket", on_delete=models.CASCADE)
        number = models.CharField()
