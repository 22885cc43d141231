# Made with Django 5.2.19 on 2026-11-23 03:21

import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


# Events and seals are append-only: rows are written once and never change. An SQLite file is its
# owner's anyway, so only PostgreSQL, which several machines and people reach, is guarded here.
GUARDS = """
CREATE FUNCTION tokens_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON tokens_tokenevent
    FOR EACH ROW EXECUTE FUNCTION tokens_refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON tokens_tokenevent
    FOR EACH STATEMENT EXECUTE FUNCTION tokens_refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON tokens_auditseal
    FOR EACH ROW EXECUTE FUNCTION tokens_refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON tokens_auditseal
    FOR EACH STATEMENT EXECUTE FUNCTION tokens_refuse_change();
"""
LIFT_GUARDS = """
DROP TRIGGER refuse_change ON tokens_tokenevent;
DROP TRIGGER refuse_truncate ON tokens_tokenevent;
DROP TRIGGER refuse_change ON tokens_auditseal;
DROP TRIGGER refuse_truncate ON tokens_auditseal;
DROP FUNCTION tokens_refuse_change();
"""


def guard(apps, schema_editor):
    """Put the triggers up where the database is PostgreSQL."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(GUARDS, params=None)


def unguard(apps, schema_editor):
    """Take the triggers down again."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(LIFT_GUARDS, params=None)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AccessToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('name', models.CharField(max_length=64)),
                ('name_key', models.CharField(max_length=255, null=True)),
                ('description', models.CharField(blank=True, max_length=200)),
                ('family', models.UUIDField(default=uuid.uuid4)),
                ('generation', models.PositiveIntegerField(default=1)),
                ('digest', models.BinaryField(max_length=32, unique=True)),
                ('pepper_id', models.SmallIntegerField()),
                ('head4', models.CharField(max_length=4)),
                ('last4', models.CharField(max_length=4)),
                ('scopes', models.CharField(max_length=255)),
                ('projects_limited', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField()),
                ('created_via', models.CharField(choices=[('console', 'in the console'), ('rotation', 'by rotation'), ('device', 'by device login'), ('command', 'by an operator')], max_length=16)),
                ('expires_at', models.DateTimeField(null=True)),
                ('retire_at', models.DateTimeField(null=True)),
                ('revoked_at', models.DateTimeField(null=True)),
                ('revoke_kind', models.CharField(blank=True, choices=[('owner', 'by its owner'), ('admin', 'by an administrator'), ('self', 'by the token itself'), ('leaked', 'because it leaked'), ('rotated', 'by rotation'), ('cancelled', 'because its rotation was cancelled'), ('unused', 'because it was unused'), ('lost', 'because its delivery was lost')], max_length=16)),
                ('reason', models.CharField(blank=True, max_length=200)),
                ('paused_at', models.DateTimeField(null=True)),
                ('paused_until', models.DateTimeField(null=True)),
                ('first_used_at', models.DateTimeField(null=True)),
                ('stored_at', models.DateTimeField(null=True)),
                ('skipped_at', models.DateTimeField(null=True)),
                ('rotation_closed_at', models.DateTimeField(null=True)),
                ('request_id', models.UUIDField(null=True)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='access_tokens', to=settings.AUTH_USER_MODEL)),
                ('replaces', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='replacements', to='tokens.accesstoken')),
                ('revoked_by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='EventDetail',
            fields=[
                ('event_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('address', models.GenericIPAddressField(null=True)),
                ('client', models.CharField(blank=True, max_length=40)),
                ('token_name', models.CharField(blank=True, max_length=64)),
                ('request_id', models.CharField(blank=True, max_length=32)),
            ],
        ),
        migrations.CreateModel(
            name='Service',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, unique=True)),
                ('client_id', models.CharField(max_length=64, unique=True)),
                ('secret_digest', models.BinaryField(max_length=32, unique=True)),
                ('pepper_id', models.SmallIntegerField()),
                ('scopes', models.CharField(max_length=255)),
                ('created_at', models.DateTimeField()),
                ('revoked_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='AuditSeal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('first_id', models.BigIntegerField()),
                ('last_id', models.BigIntegerField(unique=True)),
                ('hash', models.BinaryField(max_length=32)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('last_id__gte', models.F('first_id'))), name='seal_runs_forward')],
            },
        ),
        migrations.CreateModel(
            name='CalendarFeed',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.BinaryField(max_length=32, unique=True)),
                ('pepper_id', models.SmallIntegerField()),
                ('last4', models.CharField(max_length=4)),
                ('with_names', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField()),
                ('last_read_at', models.DateTimeField(null=True)),
                ('last_reader', models.CharField(blank=True, max_length=80)),
                ('owner', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='calendar_feed', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Policy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField()),
                ('new_tokens_allowed', models.BooleanField(default=True)),
                ('max_lifetime_days', models.PositiveIntegerField(null=True)),
                ('max_write_lifetime_days', models.PositiveIntegerField(null=True)),
                ('default_lifetime_days', models.PositiveIntegerField(null=True)),
                ('no_expiration_allowed', models.BooleanField(default=True)),
                ('allowed_scopes', models.CharField(blank=True, max_length=255)),
                ('allowed_networks', models.TextField(blank=True)),
                ('max_live_tokens', models.PositiveIntegerField(null=True)),
                ('revoke_unused_after_days', models.PositiveIntegerField(null=True)),
                ('blocks_from', models.DateTimeField(null=True)),
                ('created_by', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Project',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('name', models.CharField(max_length=64)),
                ('name_key', models.CharField(max_length=255)),
                ('slug', models.CharField(max_length=80)),
                ('type', models.CharField(blank=True, max_length=32)),
                ('status', models.CharField(default='active', max_length=16)),
                ('created_at', models.DateTimeField()),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='projects', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='RateLimit',
            fields=[
                ('pk', models.CompositePrimaryKey('key', 'window', blank=True, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=64)),
                ('window', models.BigIntegerField()),
                ('count', models.PositiveIntegerField(default=0)),
                ('expires_at', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['expires_at'], name='ratelimit_expiry')],
            },
        ),
        migrations.CreateModel(
            name='RotationTick',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('consumer_key', models.CharField(max_length=32)),
                ('at', models.DateTimeField()),
                ('token', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='tokens.accesstoken')),
            ],
        ),
        migrations.CreateModel(
            name='TokenConsumer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('scope', models.CharField(blank=True, max_length=40)),
                ('consumer_key', models.CharField(max_length=32)),
                ('network', models.CharField(blank=True, max_length=49)),
                ('client', models.CharField(blank=True, max_length=40)),
                ('consumer_name', models.CharField(blank=True, max_length=80)),
                ('service', models.CharField(blank=True, max_length=64)),
                ('first_at', models.DateTimeField()),
                ('last_at', models.DateTimeField()),
                ('days', models.PositiveIntegerField(default=1)),
                ('count', models.PositiveBigIntegerField(default=0)),
                ('gaps', models.JSONField(default=list)),
                ('token', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='tokens.accesstoken')),
            ],
        ),
        migrations.CreateModel(
            name='TokenEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('kind', models.CharField(max_length=32)),
                ('door', models.CharField(max_length=16)),
                ('actor_id', models.BigIntegerField(null=True)),
                ('owner_id', models.BigIntegerField(null=True)),
                ('token_public_id', models.UUIDField(null=True)),
                ('data', models.JSONField(default=dict)),
            ],
            options={
                'indexes': [models.Index(fields=['token_public_id', 'id'], name='event_token'), models.Index(fields=['owner_id', 'id'], name='event_owner'), models.Index(fields=['actor_id', 'id'], name='event_actor'), models.Index(fields=['kind', 'id'], name='event_kind'), models.Index(fields=['at'], name='event_at')],
            },
        ),
        migrations.CreateModel(
            name='TokenProject',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='tokens.project')),
                ('token', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='tokens.accesstoken')),
            ],
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='projects',
            field=models.ManyToManyField(related_name='tokens', through='tokens.TokenProject', to='tokens.project'),
        ),
        migrations.CreateModel(
            name='TokenUse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('scope', models.CharField(blank=True, max_length=40)),
                ('consumer_key', models.CharField(max_length=32)),
                ('network', models.CharField(blank=True, max_length=49)),
                ('client', models.CharField(blank=True, max_length=40)),
                ('consumer_name', models.CharField(blank=True, max_length=80)),
                ('service', models.CharField(blank=True, max_length=64)),
                ('allowed', models.PositiveIntegerField(default=0)),
                ('refused', models.PositiveIntegerField(default=0)),
                ('last_at', models.DateTimeField()),
                ('token', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='tokens.accesstoken')),
            ],
        ),
        migrations.CreateModel(
            name='TokenActivity',
            fields=[
                ('token', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='activity', serialize=False, to='tokens.accesstoken')),
                ('last_used_at', models.DateTimeField()),
                ('address', models.GenericIPAddressField(null=True)),
                ('client', models.CharField(blank=True, max_length=40)),
            ],
            options={
                'indexes': [models.Index(fields=['last_used_at'], name='activity_last_used')],
            },
        ),
        migrations.CreateModel(
            name='DeviceGrant',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('device_digest', models.BinaryField(max_length=32, unique=True)),
                ('user_digest', models.BinaryField(max_length=32)),
                ('pepper_id', models.SmallIntegerField()),
                ('client_id', models.CharField(blank=True, max_length=64)),
                ('client_name', models.CharField(blank=True, max_length=80)),
                ('scopes', models.CharField(max_length=255)),
                ('address', models.GenericIPAddressField(null=True)),
                ('network', models.CharField(blank=True, max_length=49)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('interval', models.PositiveSmallIntegerField(default=5)),
                ('last_polled_at', models.DateTimeField(null=True)),
                ('approved_at', models.DateTimeField(null=True)),
                ('denied_at', models.DateTimeField(null=True)),
                ('redeemed_at', models.DateTimeField(null=True)),
                ('granted_scopes', models.CharField(blank=True, max_length=255)),
                ('token_expires_at', models.DateTimeField(null=True)),
                ('token', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tokens.accesstoken')),
                ('user', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['expires_at'], name='device_expiry'), models.Index(fields=['network', 'created_at'], name='device_network')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('approved_at__isnull', True), ('denied_at__isnull', True), ('redeemed_at__isnull', True)), fields=('user_digest',), name='device_user_code_once_while_pending'), models.CheckConstraint(condition=models.Q(('approved_at__isnull', True), ('user__isnull', False), _connector='OR'), name='device_approval_has_a_person')],
            },
        ),
        migrations.CreateModel(
            name='MailPreference',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=32)),
                ('wanted', models.BooleanField()),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('owner', 'kind'), name='mail_preference_once')],
            },
        ),
        migrations.CreateModel(
            name='MutedScope',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('scope', models.CharField(blank=True, max_length=40)),
                ('at', models.DateTimeField()),
                ('token', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='tokens.accesstoken')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('token', 'scope'), name='muted_once')],
            },
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=32)),
                ('subject', models.CharField(max_length=80)),
                ('data', models.JSONField(default=dict)),
                ('due_at', models.DateTimeField()),
                ('sent_at', models.DateTimeField(null=True)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('token', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tokens.accesstoken')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('sent_at__isnull', True)), fields=['due_at'], name='notice_due')],
                'constraints': [models.UniqueConstraint(fields=('owner', 'kind', 'subject'), name='notice_once')],
            },
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.UniqueConstraint(fields=('owner', 'name_key'), name='project_name_once_per_owner'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.UniqueConstraint(fields=('owner', 'slug'), name='project_slug_once_per_owner'),
        ),
        migrations.AddConstraint(
            model_name='rotationtick',
            constraint=models.UniqueConstraint(fields=('token', 'consumer_key'), name='tick_once'),
        ),
        migrations.AddIndex(
            model_name='tokenconsumer',
            index=models.Index(fields=['last_at'], name='consumer_last'),
        ),
        migrations.AddConstraint(
            model_name='tokenconsumer',
            constraint=models.UniqueConstraint(fields=('token', 'scope', 'consumer_key'), name='consumer_once'),
        ),
        migrations.AddConstraint(
            model_name='tokenproject',
            constraint=models.UniqueConstraint(fields=('token', 'project'), name='token_project_once'),
        ),
        migrations.AddIndex(
            model_name='accesstoken',
            index=models.Index(fields=['owner', '-created_at', '-id'], name='token_owner_page'),
        ),
        migrations.AddIndex(
            model_name='accesstoken',
            index=models.Index(fields=['created_at', 'id'], name='token_admin_page'),
        ),
        migrations.AddIndex(
            model_name='accesstoken',
            index=models.Index(condition=models.Q(('revoked_at__isnull', True)), fields=['expires_at', 'id'], name='token_expiry_due'),
        ),
        migrations.AddIndex(
            model_name='accesstoken',
            index=models.Index(condition=models.Q(('revoked_at__isnull', False)), fields=['revoked_at', 'id'], name='token_revoked_at'),
        ),
        migrations.AddIndex(
            model_name='accesstoken',
            index=models.Index(condition=models.Q(('retire_at__isnull', False)), fields=['retire_at', 'id'], name='token_retire_at'),
        ),
        migrations.AddIndex(
            model_name='accesstoken',
            index=models.Index(fields=['last4'], name='token_last4'),
        ),
        migrations.AddIndex(
            model_name='accesstoken',
            index=models.Index(fields=['pepper_id'], name='token_pepper'),
        ),
        migrations.AddIndex(
            model_name='accesstoken',
            index=models.Index(fields=['family', 'generation'], name='token_family'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.UniqueConstraint(fields=('owner', 'name_key'), name='token_name_held_once_per_owner'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.UniqueConstraint(fields=('owner', 'request_id'), name='token_request_mints_once'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.UniqueConstraint(condition=models.Q(('replaces__isnull', False), ('rotation_closed_at__isnull', True)), fields=('replaces',), name='token_has_one_open_rotation'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__isnull', True), ('expires_at__gt', models.F('created_at')), _connector='OR'), name='token_expires_after_it_is_created'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('revoke_kind', ''), ('revoked_at__isnull', True)), models.Q(('revoked_at__isnull', False), models.Q(('revoke_kind', ''), _negated=True)), _connector='OR'), name='token_has_a_revoke_kind_iff_revoked'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.CheckConstraint(condition=models.Q(('paused_until__isnull', True), ('paused_at__isnull', False), _connector='OR'), name='token_pause_that_ends_has_begun'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.CheckConstraint(condition=models.Q(('scopes', ''), _negated=True), name='token_has_a_scope'),
        ),
        migrations.AddIndex(
            model_name='tokenuse',
            index=models.Index(fields=['day'], name='use_day'),
        ),
        migrations.AddConstraint(
            model_name='tokenuse',
            constraint=models.UniqueConstraint(fields=('token', 'day', 'scope', 'consumer_key'), name='use_once_per_day_and_consumer'),
        ),
        migrations.RunPython(guard, unguard),
    ]
