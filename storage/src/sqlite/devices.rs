//! Devices that wait for a person.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use vestibule_oauth_core::{StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{
    Decided, Device, DeviceBegun, DeviceDecision, DeviceState, Grant, Issuance, Polled, Redeemed, SLOW_DOWN,
    StoredDevice, TokenHash,
};

use super::SqliteStore;
use super::grants::NewGrant;
use crate::columns::{to_column, to_number, to_time};
use crate::limits::DEVICES;
use crate::record;

/// A row as it came out.
struct Columns {
    record: String,
    state: String,
    grant: Option<String>,
}

impl Columns {
    const SELECT: &'static str = "SELECT record, state, grant_record FROM devices";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { record: row.get(0)?, state: row.get(1)?, grant: row.get(2)? })
    }
}

fn one(connection: &Connection, by: &str, name: TokenHash) -> rusqlite::Result<Option<Columns>> {
    connection
        .prepare_cached(&format!("{} WHERE {by} = ?", Columns::SELECT))?
        .query_row(params![name.as_octets()], Columns::read)
        .optional()
}

impl SqliteStore {
    fn stored_device(&self, row: Option<Columns>) -> Result<Option<StoredDevice>, StoreUnavailable> {
        let Some(row) = row else { return Ok(None) };
        let grant: Option<Grant> = row.grant.as_deref().map(|text| self.read_record(text)).transpose()?;
        let state = match (row.state.as_str(), grant) {
            ("pending", _) => DeviceState::Pending,
            ("denied", _) => DeviceState::Denied,
            ("approved", Some(grant)) => DeviceState::Approved(Box::new(grant)),
            ("redeemed", Some(grant)) => DeviceState::Redeemed(grant.id),
            _ => return Err(self.unavailable("a device cannot be read by this version")),
        };
        Ok(Some(StoredDevice { device: self.read_record(&row.record)?, state }))
    }

    pub(super) async fn put_device(
        &self,
        device: Device,
        now: UnixTime,
    ) -> Result<DeviceBegun, StoreUnavailable> {
        let record = record::written(&device)?;
        let full = self.unavailable("too many devices are waiting");
        let begun = self
            .writer
            .write(move |connection| {
                connection
                    .prepare_cached("DELETE FROM devices WHERE user_code = ? AND expires_at <= ?")?
                    .execute(params![device.user_code.as_octets(), to_column(now.as_secs())])?;
                let taken = connection
                    .prepare_cached("SELECT 1 FROM devices WHERE user_code = ?")?
                    .exists(params![device.user_code.as_octets()])?;
                if taken {
                    return Ok(Some(DeviceBegun::CodeTaken));
                }
                let rows: i64 = connection
                    .prepare_cached("SELECT rows FROM counts WHERE name = 'devices'")?
                    .query_row([], |row| row.get(0))?;
                if rows >= DEVICES as i64 {
                    return Ok(None);
                }
                connection
                    .prepare_cached(
                        "INSERT INTO devices (hash, user_code, record, state, wait_seconds, expires_at)
                         VALUES (?, ?, ?, 'pending', ?, ?)",
                    )?
                    .execute(params![
                        device.hash.as_octets(),
                        device.user_code.as_octets(),
                        record,
                        to_column(device.interval.as_secs()),
                        to_column(device.expires_at.as_secs()),
                    ])?;
                Ok(Some(DeviceBegun::Begun))
            })
            .await?;
        begun.ok_or(full)
    }

    pub(super) async fn load_device(
        &self,
        name: TokenHash,
    ) -> Result<Option<StoredDevice>, StoreUnavailable> {
        let row = self.writer.read(move |connection| one(connection, "hash", name)).await?;
        self.stored_device(row)
    }

    pub(super) async fn load_device_showing(
        &self,
        user_code: TokenHash,
    ) -> Result<Option<StoredDevice>, StoreUnavailable> {
        let row = self.writer.read(move |connection| one(connection, "user_code", user_code)).await?;
        self.stored_device(row)
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
        self.writer
            .write(move |connection| {
                let noted = connection
                    .prepare_cached(
                        "UPDATE devices SET state = ?2, grant_record = ?3, subject = ?4, context = ?5
                         WHERE user_code = ?1 AND state = 'pending' AND expires_at > ?6",
                    )?
                    .execute(params![
                        user_code.as_octets(),
                        state,
                        record,
                        grant.as_ref().map(|grant| &grant.subject),
                        grant.as_ref().and_then(|grant| grant.context.as_ref()),
                        to_column(now.as_secs()),
                    ])?;
                if noted == 1 {
                    return Ok(Decided::Decided);
                }
                let is_there = connection
                    .prepare_cached("SELECT 1 FROM devices WHERE user_code = ? AND expires_at > ?")?
                    .exists(params![user_code.as_octets(), to_column(now.as_secs())])?;
                Ok(if is_there { Decided::AlreadyDecided } else { Decided::Missing })
            })
            .await
    }

    pub(super) async fn note_poll(&self, name: TokenHash, now: UnixTime) -> Result<Polled, StoreUnavailable> {
        self.writer
            .write(move |connection| {
                let row: Option<(i64, Option<i64>)> = connection
                    .prepare_cached("SELECT wait_seconds, polled_at FROM devices WHERE hash = ?")?
                    .query_row(params![name.as_octets()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                let Some((wait, polled_at)) = row else { return Ok(Polled::Missing) };
                let wait = Duration::from_secs(to_number(wait));
                let too_soon =
                    polled_at.map(to_time).is_some_and(|last| last <= now && now < last.after(wait));
                let wait = if too_soon { wait.saturating_add(SLOW_DOWN) } else { wait };
                connection
                    .prepare_cached("UPDATE devices SET wait_seconds = ?, polled_at = ? WHERE hash = ?")?
                    .execute(params![
                        to_column(wait.as_secs()),
                        to_column(now.as_secs()),
                        name.as_octets()
                    ])?;
                Ok(if too_soon { Polled::TooSoon } else { Polled::InTime })
            })
            .await
    }

    pub(super) async fn spend_device(
        &self,
        name: TokenHash,
        issuance: Issuance,
        now: UnixTime,
    ) -> Result<Redeemed, StoreUnavailable> {
        let grant = issuance.grant.id;
        let new = NewGrant::of(issuance)?;
        self.writer
            .write(move |connection| {
                let redeemed = connection
                    .prepare_cached(
                        "UPDATE devices SET state = 'redeemed', redeemed_at = ? WHERE hash = ? AND state = 'approved'",
                    )?
                    .execute(params![to_column(now.as_secs()), name.as_octets()])?;
                if redeemed == 1 {
                    new.put(connection)?;
                    return Ok(Redeemed::Redeemed);
                }
                let before: Option<Option<i64>> = connection
                    .prepare_cached("SELECT redeemed_at FROM devices WHERE hash = ?")?
                    .query_row(params![name.as_octets()], |row| row.get(0))
                    .optional()?;
                Ok(match before.flatten() {
                    // The grant that was approved has one name, whoever redeems it.
                    Some(at) => Redeemed::AlreadyRedeemed { grant, at: to_time(at) },
                    None => Redeemed::Missing,
                })
            })
            .await
    }
}
