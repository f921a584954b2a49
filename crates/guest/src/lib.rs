//! What runs inside instances: cfn-init, cfn-signal and their kin, ec2-metadata, yum.
