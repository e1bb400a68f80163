//! Peerway's own actions about who may ask (`control::accounts`), on the home region's World.

use control::accounts::{self, Asker};
use ec2::Error;
use ec2::accounts::DeleteRole;
use ec2::service::{PeerwayReply, PeerwayRequest};
use model::{Change, World};

use crate::Cloud;
use crate::auth::Authenticated;
use crate::region::{Answer, Work, internal, machine_time, seed};

/// Rounds in which a role's sessions are ended: more than an account may have.
const ROUNDS_MAX: usize = 32;

/// `None`: the request is about something else.
pub(crate) async fn answer(
    cloud: &Cloud,
    who: &Authenticated,
    request: &PeerwayRequest,
) -> Option<Result<PeerwayReply, Error>> {
    let home = cloud.home().world();
    let asker = Asker { caller: &who.caller, is_session: who.is_session };
    Some(match request {
        PeerwayRequest::ListAccounts(_) => accounts::list_accounts(&home, &asker).map(PeerwayReply::ListAccounts),
        PeerwayRequest::ListAccessKeys(request) => {
            accounts::list_access_keys(&home, &asker, request).map(PeerwayReply::ListAccessKeys)
        }
        PeerwayRequest::ListRoles(request) => accounts::list_roles(&home, &asker, request).map(PeerwayReply::ListRoles),
        PeerwayRequest::DescribeEvents(request) => cloud.events.describe(&who.caller, request),
        PeerwayRequest::DeleteRole(request) => delete_role(cloud, who, request).await,
        PeerwayRequest::CreateAccessKey(_)
        | PeerwayRequest::UpdateAccessKey(_)
        | PeerwayRequest::DeleteAccessKey(_)
        | PeerwayRequest::CreateAccount(_)
        | PeerwayRequest::PutRole(_) => {
            let request = request.clone();
            change(cloud, who, move |world, asker| work(world, asker, &request)).await
        }
        _ => return None,
    })
}

type Outcome = Result<(PeerwayReply, Vec<Change>), Error>;

fn work(world: &World, asker: &Asker<'_>, request: &PeerwayRequest) -> Outcome {
    let now = machine_time();
    Ok(match request {
        PeerwayRequest::CreateAccessKey(request) => {
            let (reply, changes) = control::sts::create_access_key(world, asker, request.account, seed()?, now)?;
            (PeerwayReply::CreateAccessKey(reply), changes)
        }
        PeerwayRequest::UpdateAccessKey(request) => {
            let (reply, changes) = accounts::update_access_key(world, asker, request)?;
            (PeerwayReply::UpdateAccessKey(reply), changes)
        }
        PeerwayRequest::DeleteAccessKey(request) => {
            let (reply, changes) = accounts::delete_access_key(world, asker, request)?;
            (PeerwayReply::DeleteAccessKey(reply), changes)
        }
        PeerwayRequest::CreateAccount(request) => {
            let (reply, changes) = accounts::create_account(world, asker, request, seed()?, now)?;
            (PeerwayReply::CreateAccount(reply), changes)
        }
        PeerwayRequest::PutRole(request) => {
            let (reply, changes) = accounts::put_role(world, asker, request, now)?;
            (PeerwayReply::PutRole(reply), changes)
        }
        other => return Err(internal(&format!("{} changes no identity", other.name()))),
    })
}

async fn change(
    cloud: &Cloud,
    who: &Authenticated,
    mut make: impl FnMut(&World, &Asker<'_>) -> Outcome + Send + 'static,
) -> Result<PeerwayReply, Error> {
    let (caller, is_session) = (who.caller.clone(), who.is_session);
    let work: Work = Box::new(move |world, _| {
        let (reply, changes) = make(world, &Asker { caller: &caller, is_session })?;
        Ok((Answer::Peerway(Box::new(reply)), changes))
    });
    match cloud.home().write(work).await?.0 {
        Answer::Peerway(reply) => Ok(*reply),
        other => Err(internal(&format!("a request was answered with {other:?}"))),
    }
}

/// The role at once, its sessions in as many transactions as they take.
async fn delete_role(cloud: &Cloud, who: &Authenticated, request: &DeleteRole) -> Result<PeerwayReply, Error> {
    let (asked, arn) = (request.clone(), request.role_arn.clone());
    let reply = change(cloud, who, move |world, asker| {
        let (reply, changes) = accounts::delete_role(world, asker, &asked)?;
        Ok((PeerwayReply::DeleteRole(reply), changes))
    })
    .await?;
    for _ in 0..ROUNDS_MAX {
        if accounts::end_sessions(&cloud.home().world(), &arn).is_empty() {
            break;
        }
        let arn = arn.clone();
        let work: Work = Box::new(move |world, _| Ok((Answer::Nothing, accounts::end_sessions(world, &arn))));
        cloud.home().write(work).await?;
    }
    Ok(reply)
}
