//! Secrets from AWS Systems Manager Parameter Store: one `GetParameters` with decryption.
//!
//! What a newcomer would get wrong: a missing parameter is not an error but a name in `invalid_parameters`.

use std::error::Error;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::operation::get_parameters::GetParametersError;
use secrecy::SecretString;

use super::file::name;
use super::{Found, SecretsError, Wanted};
use crate::config::SecretsConfig;
use crate::text::{chain, printable};

/// The SDK waits for ever unless told otherwise.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepares the SDK; the region may be unknown.
async fn sdk(config: &SecretsConfig) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(
        TimeoutConfig::builder().operation_timeout(OPERATION_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build(),
    );
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    loader.load().await
}

/// Returns whether a region is known, and with it a Parameter Store.
pub(super) async fn has_region(config: &SecretsConfig) -> bool {
    sdk(config).await.region().is_some()
}

pub(super) async fn find(wanted: [Wanted; 2], config: &SecretsConfig) -> Result<[Found; 2], SecretsError> {
    let aws = sdk(config).await;
    let region = aws.region().map(ToString::to_string);
    let Some(region) = region else {
        return Err(match config.source {
            None => SecretsError::nowhere(wanted[0]),
            Some(_) => SecretsError::Unreachable {
                place: "SSM Parameter Store".to_owned(),
                reason: "no AWS region is known".to_owned(),
                hint: "set secrets.region or AWS_REGION; an instance of EC2 knows its own".to_owned(),
            },
        });
    };
    let names = wanted.map(|wanted| name(wanted, config).to_owned());
    let answer = aws_sdk_ssm::Client::new(&aws)
        .get_parameters()
        .set_names(Some(names.to_vec()))
        .with_decryption(true)
        .send()
        .await
        .map_err(|error| unreachable(&error, &region, &names))?;
    Ok(wanted.map(|wanted| {
        let name = name(wanted, config);
        let value = answer
            .parameters()
            .iter()
            // Asked by name, answered by name; asked by ARN, answered by ARN in another field.
            .find(|parameter| parameter.name() == Some(name) || parameter.arn() == Some(name))
            .and_then(|parameter| parameter.value())
            .map(SecretString::from);
        Found {
            value,
            place: format!("the SSM parameter {name} in {region}"),
            hint: format!(
                "aws ssm put-parameter --region {region} --name {name} --type SecureString --value file://{}.txt",
                wanted_file(wanted)
            ),
        }
    }))
}

/// Returns why Parameter Store gave nothing, in AWS's words without the SDK's, and what to do.
fn unreachable(error: &SdkError<GetParametersError>, region: &str, names: &[String]) -> SecretsError {
    let network = "check the network path from this machine to AWS: a route or a VPC endpoint for ssm, security groups, HTTPS_PROXY";
    let (reason, hint) = match error {
        SdkError::ServiceError(refusal) => {
            let code = refusal.err().code().unwrap_or("refused");
            (format!("{code}: {}", refusal.err().message().unwrap_or("it does not say why")), hint_of(code, names))
        }
        SdkError::TimeoutError(_) => {
            (format!("no answer within {} seconds", OPERATION_TIMEOUT.as_secs()), network.to_owned())
        }
        SdkError::DispatchFailure(failure) => {
            let cause = failure.as_connector_error().and_then(Error::source);
            let reason = cause.map_or_else(|| chain(error), chain);
            let hint = if reason.contains("credential") {
                "attach an instance profile to the machine, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            } else {
                network
            };
            (reason, hint.to_owned())
        }
        _ => (chain(error), network.to_owned()),
    };
    let place = format!("SSM Parameter Store in {region}");
    SecretsError::Unreachable { place, reason: printable(&reason, 400), hint }
}

/// Source: AWS's documentation, "Common Error Types" of Systems Manager.
fn hint_of(code: &str, names: &[String]) -> String {
    match code {
        "ThrottlingException" | "InternalServerError" | "ServiceUnavailable" => "run again".to_owned(),
        "ExpiredTokenException" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            "renew the AWS credentials in the environment, or leave them out so that the instance's role counts"
                .to_owned()
        }
        "InvalidSignatureException" | "RequestExpired" => {
            "set this machine's clock right: `chronyc tracking`".to_owned()
        }
        _ => format!(
            "allow ssm:GetParameters on {} (and kms:Decrypt) to the role ghbk runs with; `aws sts get-caller-identity` \
             shows it",
            names.join(" and ")
        ),
    }
}

/// A file, not the value: a value on a command line stays in the shell's history.
fn wanted_file(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::GitHubToken => "token",
        Wanted::GitHubAppKey => "app-key",
        Wanted::SlackWebhookUrl => "webhook",
    }
}
