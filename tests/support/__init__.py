"""What tests share: servers, factories, and waiting without sleeping."""
