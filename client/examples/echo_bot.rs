//! A bot that says back what people say to it: `cargo run --example echo_bot -- PROFILE-FOLDER`. The profile is one that
//! `sotto join` has made, without --require-password.

use sotto_client::{Body, Client, Draft, Error, Event, Unlock};

/// Answers every text, until the receiver ends.
pub async fn run(profile: &str) -> Result<(), Error> {
    let bot = Client::open(profile, Unlock::KeyFile).await?;
    let mut receiver = bot.receive(true)?;
    while let Some(event) = receiver.next().await {
        match event? {
            Event::Message(message) => {
                // The answer is durable in the outbox before the message counts as received: none is forgotten.
                if let Body::Text(text) = &message.content.body
                    && message.sender != *bot.address()
                {
                    let answer = Draft::text(format!("You said: {text}")).reply_to(message.key());
                    bot.outbox().post(message.conversation(), answer).await?;
                }
                receiver.ack(message.receipt()).await?;
            }
            // What does not open never will: then the relay need not keep it.
            Event::Unopened(unopened) => receiver.ack(unopened.receipt()).await?,
            _ => {}
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let profile = std::env::args().nth(1).unwrap_or_else(|| "bot".to_owned());
    run(&profile).await
}
