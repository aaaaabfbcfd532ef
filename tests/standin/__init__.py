"""A stand-in for Dify on a real socket: `dify` serves, `scripts` tell it what to do, `events` what to say."""
