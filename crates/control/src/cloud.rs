//! One request's view of the cloud: the World as it is plus the request's own changes so far.

use std::sync::Arc;

use ec2::{Caller, Error, IdCodes};
use model::credential::{ClientToken, ClientTokenKey};
use model::federation::Message;
use model::*;

use crate::{Config, Draft, Draw, Seed};

pub struct Cloud<'a> {
    pub caller: &'a Caller,
    pub config: &'a Config,
    /// This World's time.
    pub now: Time,
    pub draw: Draw,
    draft: Draft,
    /// What is asked to go is due to: see [`Cloud::ends_later`].
    pub(crate) is_due: bool,
    /// Digest of the request's parameters.
    parameters: u64,
}

/// Something that belongs to an account.
pub trait Owned: Entity {
    fn owner(&self) -> AccountId;
    fn tags(&self) -> &Tags;
    fn tags_mut(&mut self) -> &mut Tags;
}

macro_rules! owned {
    ($($kind:ident),*) => {
        $(impl Owned for $kind {
            fn owner(&self) -> AccountId {
                self.owner
            }

            fn tags(&self) -> &Tags {
                &self.tags
            }

            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        })*
    };
}

owned!(
    Vpc,
    Subnet,
    RouteTable,
    SecurityGroup,
    NetworkAcl,
    NetworkInterface,
    Instance,
    InternetGateway,
    NatGateway,
    EgressOnlyInternetGateway,
    DhcpOptions,
    FlowLog,
    NetworkInsightsPath,
    NetworkInsightsAnalysis,
    NetworkInsightsAccessScope,
    NetworkInsightsAccessScopeAnalysis,
    PrefixList,
    KeyPair,
    RegisteredImage,
    VpnGateway,
    SubnetCidrReservation,
    ElasticAddress
);

impl<'a> Cloud<'a> {
    /// `machine` is the machine's time; the World's own clock may be ahead of it.
    pub fn new(
        world: &World,
        caller: &'a Caller,
        config: &'a Config,
        seed: Seed,
        machine: Time,
        parameters: u64,
    ) -> Cloud<'a> {
        let now = world.now(machine);
        Cloud { caller, config, now, draw: Draw::new(seed), draft: Draft::new(world), is_due: false, parameters }
    }

    /// For what was asked for earlier.
    #[must_use]
    pub(crate) fn when_due(self) -> Self {
        Cloud { is_due: true, ..self }
    }

    pub fn into_changes(self) -> Vec<Change> {
        self.draft.into_changes()
    }

    /// The World with this request's changes so far.
    pub fn world(&self) -> &World {
        self.draft.world()
    }

    /// For rules that do not care who asks.
    pub(crate) fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    /// Takes changes that another part of the brain worked out.
    pub fn change_all(&mut self, changes: Vec<Change>) {
        changes.into_iter().for_each(|change| self.draft.change(change));
    }

    pub fn put<E: Entity>(&mut self, value: E) {
        self.draft.put(value);
    }

    pub fn delete<E: Entity>(&mut self, id: E::Id) {
        self.draft.delete::<E>(id);
    }

    /// The caller's own thing by that id; another account's reads as unknown (spec 1.2.4).
    ///
    /// # Errors
    /// The kind's NotFound.
    pub fn owned<E: Owned>(&self, id: E::Id) -> Result<Arc<E>, Error>
    where
        E::Id: IdCodes,
    {
        let found = self.world().find::<E>(&id).filter(|found| found.owner() == self.caller.account);
        found.cloned().ok_or_else(|| Error::not_found(id))
    }

    /// Everything of a kind that the caller owns, in order of id.
    pub fn own<E: Owned + 'static>(&self) -> impl Iterator<Item = &Arc<E>> {
        self.own_by::<E>(By::account(self.caller.account))
    }

    /// What the caller owns of all that stands there, in order of id.
    pub fn own_by<E: Owned + 'static>(&self, by: By) -> impl Iterator<Item = &Arc<E>> {
        self.world().by::<E>(by).filter(|found| found.owner() == self.caller.account)
    }

    /// How many of a kind the caller owns.
    pub fn own_count<E: Owned>(&self) -> usize {
        self.world().count_by::<E>(By::account(self.caller.account))
    }

    /// Changes the caller's own thing.
    ///
    /// # Errors
    /// The kind's NotFound, or what `change` refuses; nothing is changed then.
    pub fn update<E: Owned, T>(
        &mut self,
        id: E::Id,
        change: impl FnOnce(&mut E) -> Result<T, Error>,
    ) -> Result<T, Error>
    where
        E::Id: IdCodes,
    {
        let mut value = E::clone(&*self.owned::<E>(id)?);
        let result = change(&mut value)?;
        self.put(value);
        Ok(result)
    }

    /// Does all of it or none: what an error leaves half done is undone.
    ///
    /// # Errors
    /// The work's.
    pub fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let before = self.draft.clone();
        let result = work(self);
        if result.is_err() {
            self.draft = before;
        }
        result
    }

    /// Leaves a message for a region (this one too: both sides of a peering may live here), in this very transaction.
    pub fn send(&mut self, to: Region, message: Message) {
        self.draft.send(to, message);
    }

    /// The same, but it does not leave before its time.
    pub(crate) fn send_held(&mut self, to: Region, message: Message, held: Option<Time>) {
        self.draft.send_held(to, message, held);
    }

    /// What an earlier request with this client token made; `None`: this is the first (spec 1.3.12).
    ///
    /// # Errors
    /// `IdempotentParameterMismatch` where the token came with other parameters, `InvalidParameterValue` for a bad token.
    pub fn replay<Id: ResourceId>(&self, operation: &str, token: Option<&str>) -> Result<Option<Id>, Error> {
        let Some(token) = token else { return Ok(None) };
        if token.is_empty() || token.len() > 64 || !token.is_ascii() {
            return Err(Error::invalid_parameter("ClientToken", token, "A client token has 1 to 64 ASCII characters."));
        }
        let Some(earlier) = self.world().find::<ClientToken>(&self.token_key(operation, token)) else {
            return Ok(None);
        };
        if earlier.parameters != self.parameters {
            let message = format!(
                "The client token '{token}' was used before with other parameters; use a new token for a new request"
            );
            return Err(Error::new("IdempotentParameterMismatch", message));
        }
        Ok(earlier.made.parse().ok())
    }

    /// Remembers what this request made under its client token.
    pub fn remember<Id: ResourceId>(&mut self, operation: &str, token: Option<&str>, made: Id) {
        if let Some(token) = token {
            let key = self.token_key(operation, token);
            let (parameters, created) = (self.parameters, self.now);
            self.put(ClientToken { key, parameters, made: made.to_string(), created });
        }
    }

    fn token_key(&self, operation: &str, token: &str) -> ClientTokenKey {
        ClientTokenKey { account: self.caller.account, operation: operation.into(), token: token.into() }
    }

    pub fn arn(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("arn:aws:ec2:{}:{}:{kind}/{id}", self.config.region, self.caller.account)
    }
}
