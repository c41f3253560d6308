"""What happens because of an event: mail, webhooks, delivery notes, automations."""
