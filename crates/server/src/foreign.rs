//! The services that speak JSON: the operation is named by a header, the body is the request.

use ec2::Error;
use ec2::service::Service;
use ec2::signature::Signed;

use crate::audit::Trail;
use crate::region::{Answer, Work, machine_time, seed};
use crate::{Cloud, api, http};

/// What follows the service's name in `X-Amz-Target`; empty without one.
pub(crate) fn operation<'r>(request: &Signed<'r>) -> &'r str {
    let header = request.headers.iter().find(|(name, _)| name == "x-amz-target");
    header.and_then(|(_, value)| value.rsplit('.').next()).unwrap_or_default()
}

/// The response document.
pub(crate) async fn answer(
    cloud: &Cloud,
    signed: &Signed<'_>,
    service: Service,
    operation: &str,
    trail: &mut Trail,
) -> Result<String, Error> {
    let who = http::identify(cloud, signed, service, trail)?;
    let (caller, region) = (who.caller, who.region);
    let (operation, body) = (operation.to_owned(), signed.body.to_vec());
    let shell = &cloud.regions[&region];
    if control::foreign::is_read(&operation) {
        let (world, now) = (shell.world(), machine_time());
        let (document, _) =
            control::foreign::handle(&world, &caller, service, &operation, &body, &shell.config, seed()?, now)?;
        return Ok(document);
    }
    let work: Work = Box::new(move |world, config| {
        let now = machine_time();
        let (document, changes) =
            control::foreign::handle(world, &caller, service, &operation, &body, config, seed()?, now)?;
        Ok((Answer::Json(document), changes))
    });
    match api::write(cloud, region, work).await? {
        Answer::Json(document) => Ok(document),
        other => Err(crate::region::internal(&format!("a request in JSON was answered with {other:?}"))),
    }
}
