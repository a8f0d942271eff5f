//! Devices that wait for a person.

use tokio_postgres::Row;
use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{
    Decided, Device, DeviceBegun, DeviceDecision, DeviceState, Grant, Issuance, Polled, Redeemed, SLOW_DOWN,
    StoredDevice, TokenHash,
};

use super::grants::{NewGrant, begins_a_grant};
use super::{PostgresStore, secs};
use crate::columns::{to_column, to_time};
use crate::record;

impl PostgresStore {
    fn stored_device(&self, row: &Row) -> Result<StoredDevice, StoreUnavailable> {
        let state: &str = self.connections.column(row, 1)?;
        let grant: Option<&str> = self.connections.column(row, 2)?;
        let grant: Option<Grant> =
            grant.map(record::read).transpose().map_err(|detail| self.unavailable(detail))?;
        let state = match (state, grant) {
            ("pending", _) => DeviceState::Pending,
            ("denied", _) => DeviceState::Denied,
            ("approved", Some(grant)) => DeviceState::Approved(Box::new(grant)),
            ("redeemed", Some(grant)) => DeviceState::Redeemed(grant.id),
            _ => return Err(self.unavailable("a device cannot be read by this version")),
        };
        Ok(StoredDevice { device: self.record(row, 0)?, state })
    }

    /// One that has expired gives up its user code.
    pub(super) async fn put_device(
        &self,
        device: Device,
        now: UnixTime,
    ) -> Result<DeviceBegun, StoreUnavailable> {
        let record = record::written(&device)?;
        if !self.has_room_for_a_device().await? {
            return Err(self.unavailable("too many devices are waiting"));
        }
        let sql = "INSERT INTO devices (hash, user_code, record, state, wait_seconds, expires_at)
             VALUES ($1, $2, $3, 'pending', $4, $5)
             ON CONFLICT (user_code) DO UPDATE SET hash = excluded.hash, record = excluded.record, state = 'pending',
                 grant_record = NULL, subject = NULL, context = NULL, redeemed_at = NULL, polled_at = NULL,
                 wait_seconds = excluded.wait_seconds, expires_at = excluded.expires_at
             WHERE devices.expires_at <= $6 RETURNING 1";
        let (hash, user_code) = (device.hash.as_octets().as_slice(), device.user_code.as_octets().as_slice());
        let wait = to_column(device.interval.as_secs());
        let begun = self
            .connections
            .row(sql, &[&hash, &user_code, &record, &wait, &secs(device.expires_at), &secs(now)])
            .await?;
        Ok(if begun.is_some() { DeviceBegun::Begun } else { DeviceBegun::CodeTaken })
    }

    pub(super) async fn load_device(
        &self,
        name: TokenHash,
    ) -> Result<Option<StoredDevice>, StoreUnavailable> {
        let sql = "SELECT record, state, grant_record FROM devices WHERE hash = $1";
        let row = self.connections.row(sql, &[&name.as_octets().as_slice()]).await?;
        row.map(|row| self.stored_device(&row)).transpose()
    }

    pub(super) async fn load_device_showing(
        &self,
        user_code: TokenHash,
    ) -> Result<Option<StoredDevice>, StoreUnavailable> {
        let sql = "SELECT record, state, grant_record FROM devices WHERE user_code = $1";
        let row = self.connections.row(sql, &[&user_code.as_octets().as_slice()]).await?;
        row.map(|row| self.stored_device(&row)).transpose()
    }

    pub(super) async fn note_decision(
        &self,
        user_code: TokenHash,
        decision: DeviceDecision,
        now: UnixTime,
    ) -> Result<Decided, StoreUnavailable> {
        let (state, grant) = match decision {
            DeviceDecision::Approve(grant) => ("approved", Some(grant)),
            DeviceDecision::Deny => ("denied", None),
        };
        let record = grant.as_ref().map(record::written).transpose()?;
        let subject = grant.as_ref().map(|grant| grant.subject.as_str());
        let context = grant.as_ref().and_then(|grant| grant.context.as_deref());
        let (user_code, now) = (user_code.as_octets().as_slice(), secs(now));
        let sql = "UPDATE devices SET state = $2, grant_record = $3, subject = $4, context = $5
             WHERE user_code = $1 AND state = 'pending' AND expires_at > $6 RETURNING 1";
        let noted =
            self.connections.row(sql, &[&user_code, &state, &record, &subject, &context, &now]).await?;
        if noted.is_some() {
            return Ok(Decided::Decided);
        }
        let sql = "SELECT 1 FROM devices WHERE user_code = $1 AND expires_at > $2";
        let is_there = self.connections.row(sql, &[&user_code, &now]).await?;
        Ok(if is_there.is_some() { Decided::AlreadyDecided } else { Decided::Missing })
    }

    /// The row is held from the look at when the device asked last until that is noted anew.
    pub(super) async fn note_poll(&self, name: TokenHash, now: UnixTime) -> Result<Polled, StoreUnavailable> {
        let sql = "WITH last AS (
                 SELECT hash, coalesce(polled_at <= $2 AND $2 < polled_at + wait_seconds, FALSE) AS too_soon
                 FROM devices WHERE hash = $1 FOR UPDATE
             )
             UPDATE devices SET polled_at = $2, wait_seconds = wait_seconds + CASE WHEN too_soon THEN $3::bigint ELSE 0 END
             FROM last WHERE devices.hash = last.hash RETURNING too_soon";
        let slower = to_column(SLOW_DOWN.as_secs());
        let row = self.connections.row(sql, &[&name.as_octets().as_slice(), &secs(now), &slower]).await?;
        let too_soon = row.map(|row| self.connections.column::<bool>(&row, 0)).transpose()?;
        Ok(match too_soon {
            None => Polled::Missing,
            Some(true) => Polled::TooSoon,
            Some(false) => Polled::InTime,
        })
    }

    pub(super) async fn spend_device(
        &self,
        name: TokenHash,
        issuance: Issuance,
        now: UnixTime,
    ) -> Result<Redeemed, StoreUnavailable> {
        let new = NewGrant::of(&issuance)?;
        let sql = begins_a_grant!(
            "UPDATE devices SET state = 'redeemed', redeemed_at = $2
             WHERE hash = $1 AND state = 'approved' RETURNING 1"
        );
        let (name, at) = (name.as_octets().as_slice(), secs(now));
        if self.connections.row(sql, &new.with(&name, &at)).await?.is_some() {
            return Ok(Redeemed::Redeemed);
        }
        let sql = "SELECT redeemed_at FROM devices WHERE hash = $1 AND redeemed_at IS NOT NULL";
        match self.connections.row(sql, &[&name]).await? {
            // The grant that was approved has one name, whoever redeems it.
            Some(row) => Ok(Redeemed::AlreadyRedeemed {
                grant: issuance.grant.id,
                at: to_time(self.connections.column(&row, 0)?),
            }),
            None => Ok(Redeemed::Missing),
        }
    }
}
