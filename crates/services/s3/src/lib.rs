//! Amazon S3: buckets, objects, policies and websites, on s3s.
