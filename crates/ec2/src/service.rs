//! The services behind one port: EC2 in its own protocol, STS (spec 1.6) and Peerway's own in the AWS Query protocol, Route 53 in REST
//! and XML (`route53`), and what tools call on their way: IAM as STS, Systems Manager and CloudWatch Logs in JSON.
//!
//! The credential scope of a signature names the service; a request that carries no scope is taken by its version.

use model::{AccountId, Region, Secret, Time};

use crate::accounts::{
    AccessKeyItem, AccessKeysResult, AccountResult, AccountsResult, CreateAccount, DeleteAccessKey, DeleteRole,
    DescribeEvents, EventsResult, ListAccessKeys, ListAccounts, ListRoles, PutRole, RoleItem, RolesResult,
    UpdateAccessKey,
};
use crate::reach::{ExplainReachability, ReachResult};
use crate::{Error, FromQuery, Node, Shape, Xml};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Ec2,
    Sts,
    Peerway,
    Route53,
    /// The few calls that tools make on their way.
    Iam,
    /// Systems Manager: its public parameters.
    Ssm,
    /// CloudWatch Logs: log groups, as flow logs name them.
    Logs,
}

impl Service {
    pub const ALL: [Service; 7] =
        [Service::Ec2, Service::Sts, Service::Peerway, Service::Route53, Service::Iam, Service::Ssm, Service::Logs];

    /// It speaks JSON: the operation is in a header (`X-Amz-Target`), the request and the answer are one document each.
    pub fn is_json(self) -> bool {
        matches!(self, Service::Ssm | Service::Logs)
    }

    /// Each region has its own; the others are answered by the home region, whatever the scope says.
    pub fn is_regional(self) -> bool {
        matches!(self, Service::Ec2 | Service::Ssm | Service::Logs)
    }

    /// By the name in a credential scope.
    pub fn by_name(name: &str) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.name() == name)
    }

    /// As a credential scope has it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Sts => "sts",
            Service::Peerway => "peerway",
            Service::Route53 => "route53",
            Service::Iam => "iam",
            Service::Ssm => "ssm",
            Service::Logs => "logs",
        }
    }

    /// The one version that is spoken here.
    pub fn version(self) -> &'static str {
        match self {
            Service::Ec2 => crate::action::VERSION,
            Service::Sts => STS.version,
            Service::Peerway => PEERWAY.version,
            Service::Route53 => crate::route53::VERSION,
            Service::Iam => IAM.version,
            Service::Ssm => "2014-11-06",
            Service::Logs => "2014-03-28",
        }
    }

    /// The error document as this service writes it.
    pub fn render_error(self, error: &Error, request_id: &str) -> String {
        match self {
            Service::Ec2 => error.render(request_id),
            Service::Sts => render_query_error(error, STS.namespace, request_id),
            Service::Peerway => render_query_error(error, PEERWAY.namespace, request_id),
            Service::Route53 => render_query_error(error, crate::route53::NAMESPACE, request_id),
            Service::Iam => render_query_error(error, IAM.namespace, request_id),
            Service::Ssm | Service::Logs => render_json_error(error),
        }
    }
}

/// A service in the AWS Query protocol.
struct Protocol {
    version: &'static str,
    namespace: &'static str,
}

const STS: Protocol = Protocol { version: "2011-06-15", namespace: "https://sts.amazonaws.com/doc/2011-06-15/" };
const PEERWAY: Protocol = Protocol { version: "2026-11-01", namespace: "urn:peerway:2026-11-01" };

const IAM: Protocol = Protocol { version: "2010-05-08", namespace: "https://iam.amazonaws.com/doc/2010-05-08/" };

impl Protocol {
    fn action<'n>(&self, node: &'n Node) -> Result<&'n str, Error> {
        let action = node.text("Action").filter(|name| !name.is_empty());
        let action =
            action.ok_or_else(|| Error::new("MissingAction", "The request must contain the parameter Action"))?;
        match node.text("Version") {
            Some(version) if version == self.version => Ok(action),
            Some(other) => Err(Error::new(
                "NoSuchVersion",
                format!("The requested version ({other}) does not exist; use {}", self.version),
            )),
            None => Err(Error::missing_parameter("Version")),
        }
    }

    fn render(&self, action: &str, result: Option<&dyn Shape>, request_id: &str) -> String {
        let mut xml = Xml::document();
        xml.root(&format!("{action}Response"), self.namespace, |xml| {
            if let Some(result) = result {
                xml.element(&format!("{action}Result"), |xml| result.members(xml));
            }
            xml.element("ResponseMetadata", |xml| xml.text("RequestId", request_id));
        });
        xml.finish()
    }
}

fn render_query_error(error: &Error, namespace: &str, request_id: &str) -> String {
    let mut xml = Xml::document();
    xml.root("ErrorResponse", namespace, |xml| {
        xml.element("Error", |xml| {
            xml.text("Type", if error.status < 500 { "Sender" } else { "Receiver" });
            xml.text("Code", &error.code);
            xml.text("Message", &error.message);
        });
        xml.text("RequestId", request_id);
    });
    xml.finish()
}

fn render_json_error(error: &Error) -> String {
    format!("{{\"__type\":{},\"message\":{}}}", json_text(&error.code), json_text(&error.message))
}

/// A text of JSON (RFC 8259, 7).
fn json_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

macro_rules! service {
    ($(#[$doc:meta])* $request:ident, $reply:ident, $protocol:ident, { $($action:ident -> $result:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $request {
            $($action($action),)*
        }

        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $reply {
            $($action($result),)*
        }

        impl $request {
            /// The names of all its actions.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($action),)*];

            /// # Errors
            /// `MissingAction`, `InvalidAction`, `NoSuchVersion`, and what the action's parameters have wrong.
            pub fn parse(node: &Node) -> Result<$request, Error> {
                match $protocol.action(node)? {
                    $(stringify!($action) => $action::from_query(Some(node), "").map($request::$action),)*
                    other => Err(Error::new("InvalidAction", format!("The action {other} is not valid for this web service."))),
                }
            }

            pub fn name(&self) -> &'static str {
                match self {
                    $($request::$action(_) => stringify!($action),)*
                }
            }
        }

        impl $reply {
            pub fn render(&self, request_id: &str) -> String {
                match self {
                    $($reply::$action(result) => $protocol.render(stringify!($action), Some(result), request_id),)*
                }
            }
        }
    };
}

service! {
    /// What STS is asked.
    StsRequest, StsReply, STS, {
        GetCallerIdentity -> CallerIdentity,
        AssumeRole -> AssumedRole,
        GetSessionToken -> SessionResult,
    }
}

service! {
    /// What Peerway's own service is asked.
    PeerwayRequest, PeerwayReply, PEERWAY, {
        AdvanceClock -> ClockResult,
        CreateAccessKey -> AccessKeyResult,
        ListAccessKeys -> AccessKeysResult,
        UpdateAccessKey -> AccessKeyItem,
        DeleteAccessKey -> AccessKeyItem,
        CreateAccount -> AccountResult,
        ListAccounts -> AccountsResult,
        PutRole -> RoleItem,
        ListRoles -> RolesResult,
        DeleteRole -> RoleItem,
        DescribeEvents -> EventsResult,
        DescribeStatus -> StatusResult,
        CreateJoinToken -> JoinTokenResult,
        DescribeHosts -> HostsResult,
        RevokeHost -> RevokedHostResult,
        RotateAuthority -> AuthorityResult,
        DescribeAuthority -> AuthorityResult,
        ExplainReachability -> ReachResult,
        CreateBackup -> BackupResult,
    }
}

service! {
    /// What IAM is asked.
    IamRequest, IamReply, IAM, {
        ListAccountAliases -> AccountAliases,
    }
}

input! {
    ListAccountAliases {
        marker: Option<String> = "Marker",
        max_items: Option<i32> = "MaxItems",
    }
}

output! {
    /// No account has an alias.
    AccountAliases {
        account_aliases: Vec<String> = "AccountAliases",
        is_truncated: bool = "IsTruncated",
    }
}

input! { GetCallerIdentity {} }

output! {
    CallerIdentity {
        arn: String = "Arn",
        user_id: String = "UserId",
        account: AccountId = "Account",
    }
}

input! {
    AssumeRole {
        role_arn: String = "RoleArn",
        role_session_name: String = "RoleSessionName",
        /// Seconds, 900 to 43,200.
        duration_seconds: Option<i32> = "DurationSeconds",
        /// What a role that was written down may ask for.
        external_id: Option<String> = "ExternalId",
    }
}

input! {
    /// Temporary keys of the account itself.
    GetSessionToken {
        /// Seconds, 900 to 129,600.
        duration_seconds: Option<i32> = "DurationSeconds",
    }
}

output! {
    SessionResult {
        credentials: Credentials = "Credentials",
    }
}

output! {
    AssumedRole {
        credentials: Credentials = "Credentials",
        assumed_role_user: AssumedRoleUser = "AssumedRoleUser",
    }
}

output! {
    Credentials {
        access_key_id: String = "AccessKeyId",
        secret_access_key: Secret = "SecretAccessKey",
        session_token: Secret = "SessionToken",
        expiration: Time = "Expiration",
    }
}

output! {
    AssumedRoleUser {
        assumed_role_id: String = "AssumedRoleId",
        arn: String = "Arn",
    }
}

input! {
    /// Test only: moves the clocks of all Worlds forward; signatures keep the machine's time.
    AdvanceClock {
        seconds: i32 = "Seconds",
    }
}

output! {
    ClockResult {
        now: Time = "Now",
    }
}

input! {
    /// A long-term key for an account; the operator's account may ask for any, others for themselves.
    CreateAccessKey {
        account: AccountId = "Account",
    }
}

output! {
    AccessKeyResult {
        access_key_id: String = "AccessKeyId",
        secret_access_key: Secret = "SecretAccessKey",
        account: AccountId = "Account",
    }
}

input! { DescribeStatus {} }

output! {
    StatusResult {
        regions: Vec<RegionStatus> = "Regions",
        hosts: Vec<HostStatus> = "Hosts",
    }
}

output! {
    RegionStatus {
        region: Region = "Region",
        revision: u64 = "Revision",
        vpcs: u64 = "Vpcs",
        peerings: u64 = "Peerings",
        instances: u64 = "Instances",
    }
}

output! {
    HostStatus {
        host: String = "Host",
        connected: bool = "Connected",
        /// Whether all that was told is in force there.
        in_force: bool = "InForce",
    }
}

input! {
    /// A token with which one host may join; the operator's account asks.
    CreateJoinToken {
        /// The one host that it is for; without it, any that has not joined yet.
        host: Option<String> = "Host",
        /// How long it waits.
        seconds: Option<i32> = "Seconds",
    }
}

output! {
    JoinTokenResult {
        token: Secret = "Token",
        expires: Time = "Expires",
    }
}

input! { DescribeHosts {} }

output! {
    HostsResult {
        hosts: Vec<HostItem> = "Hosts",
    }
}

output! {
    /// A host that joined.
    HostItem {
        host: String = "Host",
        underlay: String = "Underlay",
        /// The fingerprint of its public key.
        key: String = "Key",
        connected: bool = "Connected",
    }
}

input! {
    /// Cuts a host off; the operator's account asks.
    RevokeHost {
        host: String = "Host",
    }
}

output! {
    RevokedHostResult {
        host: String = "Host",
    }
}

input! {
    /// Makes a new key for the authority that certifies hosts; the operator's account asks.
    RotateAuthority {}
}

input! { DescribeAuthority {} }

output! {
    /// The authority that certifies hosts.
    AuthorityResult {
        /// The fingerprint of its public key.
        key: String = "Key",
        /// `steady`, `announced` or `renewing`.
        phase: String = "Phase",
        /// While it is rotated, the one that is to come or the one before.
        other_key: Option<String> = "OtherKey",
        /// When the last certificate of the one before expires.
        until: Option<Time> = "Until",
        waits_for: Vec<AuthorityHost> = "WaitsFor",
    }
}

output! {
    /// A host that the next step of a rotation waits for.
    AuthorityHost {
        host: String = "Host",
        why: String = "Why",
    }
}

input! {
    /// Writes a backup into the server's data directory, from where its operator takes it away.
    CreateBackup {}
}

output! {
    BackupResult {
        /// On the server's machine.
        directory: String = "Directory",
        regions: Vec<BackupRegion> = "Regions",
    }
}

output! {
    BackupRegion {
        region: Region = "Region",
        revision: u64 = "Revision",
    }
}

impl crate::ToXml for Secret {
    fn write(&self, name: &str, xml: &mut Xml) {
        xml.text(name, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_query_protocols_nesting() {
        let account = "111111111111".parse().unwrap();
        let reply = StsReply::GetCallerIdentity(CallerIdentity { arn: "a".into(), user_id: "u".into(), account });
        let document = reply.render("id");
        let parsed = roxmltree::Document::parse(&document).unwrap();
        let names: Vec<_> =
            parsed.descendants().filter(roxmltree::Node::is_element).map(|n| n.tag_name().name()).collect();
        assert_eq!(
            names,
            [
                "GetCallerIdentityResponse",
                "GetCallerIdentityResult",
                "Arn",
                "UserId",
                "Account",
                "ResponseMetadata",
                "RequestId"
            ]
        );
        let error = Service::Sts.render_error(&Error::new("X", "y"), "id");
        assert!(
            error.contains(
                "<Error><Type>Sender</Type><Code>X</Code><Message>y</Message></Error><RequestId>id</RequestId>"
            )
        );
    }

    #[test]
    fn an_action_of_another_service_is_not_valid_here() {
        let node = Node::parse(b"Action=DescribeVpcs&Version=2011-06-15").unwrap();
        assert_eq!(StsRequest::parse(&node).unwrap_err().code, "InvalidAction");
        let node = Node::parse(b"Action=GetCallerIdentity&Version=2016-11-15").unwrap();
        assert_eq!(StsRequest::parse(&node).unwrap_err().code, "NoSuchVersion");
    }

    #[test]
    fn errors_in_json_are_json() {
        let error = Error::new("ParameterNotFound", "a \"b\" \\ \n \u{1}");
        let expected = "{\"__type\":\"ParameterNotFound\",\"message\":\"a \\\"b\\\" \\\\ \\u000a \\u0001\"}";
        assert_eq!(Service::Ssm.render_error(&error, "id"), expected);
    }
}
