# The plugin's own fixture, also where the distribution that names the plugin is not installed.
from distcache.testing.plugin import local_registry as local_registry
