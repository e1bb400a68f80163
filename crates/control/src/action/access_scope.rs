//! Network access scopes: which packets may pass that should be noticed, kept for later.

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::access_scope::*;
use ec2::{Error, Operation};
use model::access_scope::{AccessScopePath, HeaderStatement, PathStatement, ResourceStatement};
use model::*;

use super::Handle;
use super::access_scope_input::{MATCH_PATH, parse_paths};
use crate::Cloud;
use crate::describe::{Describe, Query};
use crate::rules::texts;

const KIND: &str = "network-insights-access-scope";

impl Handle for CreateNetworkInsightsAccessScope {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateNetworkInsightsAccessScopeResponse, Error> {
        let token = Some(self.client_token.as_str());
        if let Some(earlier) = cloud.replay::<AccessScopeId>(Self::NAME, token)? {
            let scope = cloud.owned::<NetworkInsightsAccessScope>(earlier)?;
            return Ok(created(cloud, &scope));
        }
        let tags = TagSpecification::tags(&self.tag_specifications, &[KIND], KIND)?;
        if self.match_paths.is_empty() {
            return Err(Error::missing_parameter(MATCH_PATH));
        }
        let (match_paths, exclude_paths) = parse_paths(&self.match_paths, &self.exclude_paths)?;
        let max = cloud.config.quotas.network_insights_access_scopes;
        if cloud.own_count::<NetworkInsightsAccessScope>() >= max {
            let message = format!(
                "You have reached the limit of {max} network insights access scopes in this region; delete some first"
            );
            return Err(Error::new("NetworkInsightsAccessScope.LimitExceeded", message));
        }
        let (id, owner, created_at) = (cloud.draw.id(), cloud.caller.account, cloud.now);
        let scope = NetworkInsightsAccessScope { id, owner, created: created_at, match_paths, exclude_paths, tags };
        cloud.remember(Self::NAME, token, id);
        cloud.put(scope.clone());
        Ok(created(cloud, &scope))
    }
}

fn created(cloud: &Cloud<'_>, scope: &NetworkInsightsAccessScope) -> CreateNetworkInsightsAccessScopeResponse {
    CreateNetworkInsightsAccessScopeResponse {
        network_insights_access_scope: item(cloud, scope),
        network_insights_access_scope_content: content(scope),
    }
}

impl Handle for DeleteNetworkInsightsAccessScope {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteNetworkInsightsAccessScopeResponse, Error> {
        let scope = cloud.owned::<NetworkInsightsAccessScope>(self.network_insights_access_scope_id)?;
        if let Some(analysis) = cloud.own_by::<NetworkInsightsAccessScopeAnalysis>(By::id(scope.id)).next() {
            let message =
                format!("The access scope '{}' has analyses, such as '{}'; delete them first", scope.id, analysis.id);
            return Err(Error::new("AnalysisExistsForNetworkInsightsAccessScope", message));
        }
        cloud.delete::<NetworkInsightsAccessScope>(scope.id);
        Ok(DeleteNetworkInsightsAccessScopeResponse { network_insights_access_scope_id: scope.id })
    }
}

impl Handle for DescribeNetworkInsightsAccessScopes {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNetworkInsightsAccessScopesResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.network_insights_access_scope_ids, filters: &self.filters, page };
        let (scopes, next_token) = cloud.select::<NetworkInsightsAccessScope>(query, 1..=100)?;
        let network_insights_access_scopes = scopes.iter().map(|scope| item(cloud, scope)).collect();
        Ok(DescribeNetworkInsightsAccessScopesResponse { network_insights_access_scopes, next_token })
    }
}

impl Handle for GetNetworkInsightsAccessScopeContent {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetNetworkInsightsAccessScopeContentResponse, Error> {
        let scope = cloud.owned::<NetworkInsightsAccessScope>(self.network_insights_access_scope_id)?;
        Ok(GetNetworkInsightsAccessScopeContentResponse { network_insights_access_scope_content: content(&scope) })
    }
}

impl Describe for NetworkInsightsAccessScope {
    /// AWS has none but those of tags.
    const FILTERS: &'static [&'static str] = &[];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, _: &Cloud<'_>, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn item(cloud: &Cloud<'_>, scope: &NetworkInsightsAccessScope) -> AccessScopeItem {
    AccessScopeItem {
        network_insights_access_scope_id: scope.id,
        network_insights_access_scope_arn: cloud.arn(KIND, scope.id),
        created_date: scope.created,
        updated_date: scope.created,
        tag_set: scope.tags.clone(),
    }
}

fn content(scope: &NetworkInsightsAccessScope) -> AccessScopeContentItem {
    AccessScopeContentItem {
        network_insights_access_scope_id: scope.id,
        match_paths: scope.match_paths.iter().map(path_item).collect(),
        exclude_paths: scope.exclude_paths.iter().map(path_item).collect(),
    }
}

fn path_item(path: &AccessScopePath) -> AccessScopePathItem {
    let through =
        path.through.as_ref().map(|through| vec![ThroughResourcesItem { resource_statement: resources_item(through) }]);
    AccessScopePathItem {
        source: path.source.as_ref().map(statement_item),
        destination: path.destination.as_ref().map(statement_item),
        through_resources: through,
    }
}

fn statement_item(statement: &PathStatement) -> PathStatementItem {
    PathStatementItem {
        packet_header_statement: statement.header.as_ref().map(header_item),
        resource_statement: statement.resources.as_ref().map(resources_item),
    }
}

fn header_item(header: &HeaderStatement) -> PacketHeaderStatementItem {
    PacketHeaderStatementItem {
        source_addresses: said(texts(&header.source_addresses)),
        destination_addresses: said(texts(&header.destination_addresses)),
        source_ports: said(texts(&header.source_ports)),
        destination_ports: said(texts(&header.destination_ports)),
        source_prefix_lists: said(header.source_prefix_lists.clone()),
        destination_prefix_lists: said(header.destination_prefix_lists.clone()),
        protocols: said(header.protocols.iter().map(|protocol| protocol.name()).collect()),
    }
}

fn resources_item(statement: &ResourceStatement) -> ResourceStatementItem {
    ResourceStatementItem {
        resources: said(statement.resources.clone()),
        resource_types: said(statement.resource_types.clone()),
    }
}

fn said(texts: Vec<String>) -> Option<Vec<String>> {
    (!texts.is_empty()).then_some(texts)
}
