require "rails"
require "action_controller/railtie"
require "active_record/railtie"

module Library
  class Application < Rails::Application
    config.root = File.expand_path("..", __dir__)
    config.load_defaults 6.1
    config.eager_load = false
    config.cache_classes = false
    config.consider_all_requests_local = true
    config.secret_key_base = "for the corpus only"
    config.active_record.migration_error = :page_load if ENV["CHECK_MIGRATIONS"]
    config.hosts.clear
  end
end
