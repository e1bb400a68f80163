#!/bin/sh
# Two VPCs of two accounts in two regions, peered, with the AWS CLI alone: `sh two_vpcs.sh up`, `sh two_vpcs.sh down`.
# Needs AWS_ENDPOINT_URL, as `peerway up` prints it. REQUESTER and ACCEPTER are account ids, which are the access keys.
set -eu

: "${AWS_ENDPOINT_URL:?start peerway up, and set this to the endpoint that it prints}"
REQUESTER=${REQUESTER:-111111111111}
ACCEPTER=${ACCEPTER:-222222222222}
NAME=two-vpcs-cli
export AWS_PAGER=""

# The CLI as one side; ids come out as plain text.
a() { AWS_ACCESS_KEY_ID=$REQUESTER AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1 aws ec2 --output text "$@"; }
b() { AWS_ACCESS_KEY_ID=$ACCEPTER AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=eu-west-1 aws ec2 --output text "$@"; }

# until_is SIDE PCX STATE: waits until that side sees the peering in that state.
until_is() {
  n=0
  while [ "$("$1" describe-vpc-peering-connections --filters "Name=vpc-peering-connection-id,Values=$2" \
      --query 'VpcPeeringConnections[].Status.Code')" != "$3" ]; do
    n=$((n + 1))
    [ "$n" -lt 60 ] || { echo "$2 is still not $3" >&2; exit 1; }
    sleep 1
  done
}

# build SIDE FIRST_TWO_NUMBERS PEER_BLOCK USER_DATA: sets vpc and instance.
build() {
  vpc=$("$1" create-vpc --cidr-block "$2.0.0/16" --query Vpc.VpcId \
      --tag-specifications "ResourceType=vpc,Tags=[{Key=Name,Value=$NAME}]")
  "$1" wait vpc-available --vpc-ids "$vpc"
  subnet=$("$1" create-subnet --vpc-id "$vpc" --cidr-block "$2.1.0/24" --query Subnet.SubnetId)
  group=$("$1" create-security-group --vpc-id "$vpc" --group-name web --description "port 80 from the peer" --query GroupId)
  "$1" authorize-security-group-ingress --group-id "$group" --protocol tcp --port 80 --cidr "$3" > /dev/null
  "$1" authorize-security-group-ingress --group-id "$group" --protocol icmp --port -1 --cidr "$3" > /dev/null
  instance=$("$1" run-instances --image-id ami-0123456789abcdef0 --instance-type t3.micro --subnet-id "$subnet" \
      --security-group-ids "$group" --private-ip-address "$2.1.10" --user-data "$4" --query 'Instances[0].InstanceId')
  "$1" wait instance-running --instance-ids "$instance"
}

# route SIDE VPC PEER_BLOCK PCX
route() {
  table=$("$1" describe-route-tables --filters "Name=vpc-id,Values=$2" Name=association.main,Values=true \
      --query 'RouteTables[0].RouteTableId')
  "$1" create-route --route-table-id "$table" --destination-cidr-block "$3" --vpc-peering-connection-id "$4" > /dev/null
}

up() {
  build a 10.16 10.17.0.0/16 '#!/bin/sh
exec sleep infinity'
  vpc_a=$vpc client=$instance
  build b 10.17 10.16.0.0/16 '#!/bin/sh
mkdir -p /srv && cd /srv && echo "hello from the peer" > index.html && exec python3 -m http.server 80'
  vpc_b=$vpc
  pcx=$(a create-vpc-peering-connection --vpc-id "$vpc_a" --peer-vpc-id "$vpc_b" --peer-owner-id "$ACCEPTER" \
      --peer-region eu-west-1 --query VpcPeeringConnection.VpcPeeringConnectionId)
  until_is b "$pcx" pending-acceptance
  b accept-vpc-peering-connection --vpc-peering-connection-id "$pcx" > /dev/null
  until_is a "$pcx" active
  until_is b "$pcx" active
  route a "$vpc_a" 10.17.0.0/16 "$pcx"
  route b "$vpc_b" 10.16.0.0/16 "$pcx"
  echo "peering $pcx is active"
  echo "try: peerway exec $client -- curl -s http://10.17.1.10/"
}

# take_away SIDE
take_away() {
  vpcs=$("$1" describe-vpcs --filters "Name=tag:Name,Values=$NAME" --query 'Vpcs[].VpcId')
  for vpc in $vpcs; do
    instances=$("$1" describe-instances --filters "Name=vpc-id,Values=$vpc" --query 'Reservations[].Instances[].InstanceId')
    if [ -n "$instances" ]; then
      # shellcheck disable=SC2086  # several ids
      "$1" terminate-instances --instance-ids $instances > /dev/null
      # shellcheck disable=SC2086
      "$1" wait instance-terminated --instance-ids $instances
    fi
    for pcx in $("$1" describe-vpc-peering-connections --filters Name=status-code,Values=active \
        --query "VpcPeeringConnections[?RequesterVpcInfo.VpcId=='$vpc' || AccepterVpcInfo.VpcId=='$vpc'].VpcPeeringConnectionId"); do
      "$1" delete-vpc-peering-connection --vpc-peering-connection-id "$pcx" > /dev/null
      until_is a "$pcx" deleted
      until_is b "$pcx" deleted
    done
    for subnet in $("$1" describe-subnets --filters "Name=vpc-id,Values=$vpc" --query 'Subnets[].SubnetId'); do
      "$1" delete-subnet --subnet-id "$subnet"
    done
    for group in $("$1" describe-security-groups --filters "Name=vpc-id,Values=$vpc" \
        --query "SecurityGroups[?GroupName!='default'].GroupId"); do
      "$1" delete-security-group --group-id "$group" > /dev/null
    done
    "$1" delete-vpc --vpc-id "$vpc"
  done
}

case "${1:-}" in
  up) up ;;
  down)
    take_away a
    take_away b
    ;;
  *) echo "usage: sh two_vpcs.sh up|down" >&2; exit 2 ;;
esac
