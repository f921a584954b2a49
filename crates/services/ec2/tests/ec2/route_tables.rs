//! Route tables, their associations and their routes.

use crate::platform::{Platform, platform};

struct Net {
    platform: Platform,
    vpc: String,
    subnet: String,
    gateway: String,
    table: String,
}

/// A VPC with a subnet, a gateway that is attached and a route table of its own.
async fn net() -> Net {
    let platform = platform();
    let vpc = platform.vpc("10.0.0.0/16").await;
    let subnet = platform.subnet(&vpc, "10.0.1.0/24").await;
    let gateway = platform.ask("CreateInternetGateway", "").await.text("internetGatewayId");
    platform.ask("AttachInternetGateway", &format!("InternetGatewayId={gateway}&VpcId={vpc}")).await.ok();
    let table = platform.ask("CreateRouteTable", &format!("VpcId={vpc}")).await.text("routeTableId");
    Net { platform, vpc, subnet, gateway, table }
}

impl Net {
    async fn associate(&self, table: &str) -> crate::asked::Answer {
        let form = format!("RouteTableId={table}&SubnetId={}", self.subnet);
        self.platform.ask("AssociateRouteTable", &form).await
    }

    async fn main(&self) -> (String, String) {
        let form = format!(
            "Filter.1.Name=vpc-id&Filter.1.Value.1={}&Filter.2.Name=association.main&Filter.2.Value.1=true",
            self.vpc
        );
        let answer = self.platform.ask("DescribeRouteTables", &form).await;
        (answer.text("routeTableId"), answer.text("routeTableAssociationId"))
    }

    async fn route(&self, operation: &str, rest: &str) -> crate::asked::Answer {
        self.platform.ask(operation, &format!("RouteTableId={}&{rest}", self.table)).await
    }
}

#[tokio::test]
async fn a_subnet_is_associated_with_one_table_at_a_time() {
    let net = net().await;
    let association = net.associate(&net.table).await.text("associationId");
    assert!(association.starts_with("rtbassoc-"));
    assert_eq!(net.associate(&net.table).await.text("associationId"), association);
    let other = net.platform.ask("CreateRouteTable", &format!("VpcId={}", net.vpc)).await.text("routeTableId");
    assert_eq!(
        net.associate(&other).await.refusal(),
        format!(
            "Resource.AlreadyAssociated: the specified association for route table {other} conflicts with an existing \
             association"
        )
    );
    let delete = format!("RouteTableId={}", net.table);
    assert_eq!(
        net.platform.ask("DeleteRouteTable", &delete).await.refusal(),
        format!("DependencyViolation: The routeTable '{}' has dependencies and cannot be deleted.", net.table)
    );
    let moved = format!("AssociationId={association}&RouteTableId={other}");
    let moved = net.platform.ask("ReplaceRouteTableAssociation", &moved).await.text("newAssociationId");
    net.platform.ask("DeleteRouteTable", &delete).await.ok();
    net.platform.ask("DisassociateRouteTable", &format!("AssociationId={moved}")).await.ok();
    assert_eq!(
        net.platform.ask("DisassociateRouteTable", &format!("AssociationId={moved}")).await.refusal(),
        format!("InvalidAssociationID.NotFound: The association ID '{moved}' does not exist")
    );
}

#[tokio::test]
async fn another_table_may_become_the_main_one_but_there_always_is_one() {
    let net = net().await;
    let (main, association) = net.main().await;
    assert_eq!(
        net.platform.ask("DisassociateRouteTable", &format!("AssociationId={association}")).await.refusal(),
        format!("InvalidParameterValue: cannot disassociate the main route table association {association}")
    );
    let replace = format!("AssociationId={association}&RouteTableId={}", net.table);
    net.platform.ask("ReplaceRouteTableAssociation", &replace).await.ok();
    assert_eq!(net.main().await.0, net.table);
    net.platform.ask("DeleteRouteTable", &format!("RouteTableId={main}")).await.ok();
}

#[tokio::test]
async fn tables_and_subnets_of_two_vpcs_do_not_meet() {
    let net = net().await;
    let elsewhere = net.platform.vpc("10.1.0.0/16").await;
    let table = net.platform.ask("CreateRouteTable", &format!("VpcId={elsewhere}")).await.text("routeTableId");
    assert_eq!(
        net.associate(&table).await.refusal(),
        format!("InvalidParameterValue: Route table {table} and subnet {} belong to different networks", net.subnet)
    );
    let route = format!("RouteTableId={table}&DestinationCidrBlock=0.0.0.0/0&GatewayId={}", net.gateway);
    assert_eq!(
        net.platform.ask("CreateRoute", &route).await.refusal(),
        format!(
            "InvalidParameterValue: route table {table} and network gateway {} belong to different networks",
            net.gateway
        )
    );
}

#[tokio::test]
async fn a_route_leads_to_the_gateway_until_that_is_detached() {
    let net = net().await;
    let to_gateway = format!("DestinationCidrBlock=0.0.0.0/0&GatewayId={}", net.gateway);
    assert_eq!(net.route("CreateRoute", &to_gateway).await.text("return"), "true");
    assert_eq!(
        net.route("CreateRoute", &to_gateway).await.refusal(),
        "RouteAlreadyExists: The route identified by 0.0.0.0/0 already exists."
    );
    let described = format!("RouteTableId.1={}", net.table);
    let table = net.platform.ask("DescribeRouteTables", &described).await;
    assert_eq!(table.texts("gatewayId"), ["local", &net.gateway]);
    assert_eq!(table.texts("origin"), ["CreateRouteTable", "CreateRoute"]);
    assert_eq!(table.texts("state"), ["active", "active"]);
    let both = format!("InternetGatewayId={}&VpcId={}", net.gateway, net.vpc);
    net.platform.ask("DetachInternetGateway", &both).await.ok();
    assert_eq!(net.platform.ask("DescribeRouteTables", &described).await.texts("state"), ["active", "blackhole"]);
    net.route("DeleteRoute", "DestinationCidrBlock=0.0.0.0/0").await.ok();
    assert_eq!(
        net.route("DeleteRoute", "DestinationCidrBlock=0.0.0.0/0").await.refusal(),
        format!("InvalidRoute.NotFound: no route with destination-cidr-block 0.0.0.0/0 in route table {}", net.table)
    );
}

#[tokio::test]
async fn a_route_that_can_not_be_is_refused() {
    let net = net().await;
    let gateway = format!("GatewayId={}", net.gateway);
    for (rest, code) in [
        ("DestinationCidrBlock=0.0.0.0/0&GatewayId=igw-12345678".to_owned(), "InvalidGatewayID.NotFound"),
        (format!("DestinationCidrBlock=10.0.5.0/24&{gateway}"), "InvalidParameterValue"),
        (format!("DestinationCidrBlock=0.0.0.0&{gateway}"), "InvalidParameterValue"),
        (gateway.clone(), "MissingParameter"),
        ("DestinationCidrBlock=0.0.0.0/0".to_owned(), "MissingParameter"),
        ("DestinationCidrBlock=0.0.0.0/0&NatGatewayId=nat-12345678".to_owned(), "UnsupportedOperation"),
        ("DestinationCidrBlock=0.0.0.0/0&GatewayId=vgw-12345678".to_owned(), "UnsupportedOperation"),
    ] {
        assert_eq!(net.route("CreateRoute", &rest).await.code(), code, "{rest}");
    }
    assert_eq!(
        net.route("ReplaceRoute", &format!("DestinationCidrBlock=0.0.0.0/0&{gateway}")).await.refusal(),
        "InvalidParameterValue: There is no route defined for '0.0.0.0/0' in the route table. Use CreateRoute instead."
    );
    net.route("CreateRoute", &format!("DestinationIpv6CidrBlock=::/0&{gateway}")).await.ok();
    net.route("ReplaceRoute", &format!("DestinationIpv6CidrBlock=::/0&{gateway}")).await.ok();
    assert_eq!(
        net.route("DeleteRoute", "DestinationCidrBlock=10.0.0.0/16").await.refusal(),
        format!("InvalidParameterValue: cannot remove local route 10.0.0.0/16 in route table {}", net.table)
    );
}

#[tokio::test]
async fn a_table_that_is_asked_for_twice_with_a_token_is_made_once() {
    let net = net().await;
    let form = format!("VpcId={}&ClientToken=one", net.vpc);
    let first = net.platform.ask("CreateRouteTable", &form).await.text("routeTableId");
    assert_eq!(net.platform.ask("CreateRouteTable", &form).await.text("routeTableId"), first);
    let elsewhere = net.platform.vpc("10.1.0.0/16").await;
    let other = format!("VpcId={elsewhere}&ClientToken=one");
    assert_eq!(net.platform.ask("CreateRouteTable", &other).await.code(), "IdempotentParameterMismatch");
}
