<?php
// What the plugin calls of WordPress, as its reference describes it, and no more: anything else is a fatal error,
// post meta of orders above all. State is one file, so that each request is a process of its own, as on a server.

define('ABSPATH', __DIR__ . '/');
const MINUTE_IN_SECONDS = 60;
const DAY_IN_SECONDS = 86400;

final class State
{
    public static array $all;
    public static function load(): void
    {
        $file = getenv('BECKON_SHOP_STATE');
        self::$all = is_file($file) && filesize($file) > 0 ? unserialize(file_get_contents($file))
            : ['options' => json_decode(getenv('BECKON_SHOP_OPTIONS') ?: '{}', true), 'sessions' => [], 'orders' => [], 'transients' => [], 'actions' => [], 'log' => [], 'next' => 1001];
    }
    public static function save(): void { file_put_contents(getenv('BECKON_SHOP_STATE'), serialize(self::$all)); }
}

// Hooks.
$hooks = [];
function add_filter(string $hook, callable $f, int $priority = 10, int $args = 1): bool { $GLOBALS['hooks'][$hook][$priority][] = [$f, $args]; return true; }
function add_action(string $hook, callable $f, int $priority = 10, int $args = 1): bool { return add_filter($hook, $f, $priority, $args); }
function apply_filters(string $hook, mixed $value, mixed ...$more): mixed
{
    $at = $GLOBALS['hooks'][$hook] ?? [];
    ksort($at);
    foreach (array_merge(...$at) as [$f, $args]) {
        $value = $f(...array_slice([$value, ...$more], 0, $args));
    }
    return $value;
}
function do_action(string $hook, mixed ...$with): void
{
    $at = $GLOBALS['hooks'][$hook] ?? [];
    ksort($at);
    foreach (array_merge(...$at) as [$f, $args]) {
        $f(...array_slice($with, 0, $args));
    }
}
function register_deactivation_hook(string $file, callable $f): void { add_action('deactivate_' . plugin_basename($file), $f); }
function __return_true(): bool { return true; }
function __return_null(): null { return null; }

// Options: filters stand before what is stored, as get_option() does it.
function get_option(string $name, mixed $default = false): mixed
{
    $before = apply_filters("pre_option_$name", false, $name, $default);
    return $before !== false ? $before : (State::$all['options'][$name] ?? $default);
}
function update_option(string $name, mixed $value, mixed $autoload = null): bool
{
    $value = isset($GLOBALS['settings'][$name]) ? $GLOBALS['settings'][$name]((string) $value) : $value;
    $old = get_option($name);
    $value = apply_filters("pre_update_option_$name", $value, $old, $name);
    if ($value === $old) {
        return false;
    }
    State::$all['options'][$name] = $value;
    return true;
}
function delete_option(string $name): bool { unset(State::$all['options'][$name]); return true; }

// Transients: rows with an end.
function get_transient(string $name): mixed { return (State::$all['transients'][$name][1] ?? 0) > time() ? State::$all['transients'][$name][0] : false; }
function set_transient(string $name, mixed $value, int $seconds): bool { State::$all['transients'][$name] = [$value, time() + $seconds]; return true; }
function delete_transient(string $name): bool { unset(State::$all['transients'][$name]); return true; }

// Text.
function esc_attr(string $text): string { return htmlspecialchars($text, ENT_QUOTES); }
function esc_html(string $text): string { return htmlspecialchars($text, ENT_QUOTES); }
function esc_url(string $url): string { return preg_match('#^(https?:/)?/#', $url) ? htmlspecialchars(str_replace([' ', '"', "'", '<', '>'], ['%20', '', '&#039;', '', ''], $url), ENT_QUOTES, double_encode: false) : ''; }
function sanitize_text_field(string $text): string { return trim(preg_replace('/[\r\n\t ]+/', ' ', strip_tags($text))); }
function wp_unslash(string $text): string { return stripslashes($text); }
function wp_json_encode(mixed $data, int $flags = 0): string|false { return json_encode($data, $flags); }
function untrailingslashit(string $text): string { return rtrim($text, '/\\'); }
function absint(mixed $n): int { return abs((int) $n); }

if (!function_exists('mb_strlen')) { // WordPress brings it where PHP lacks it
    function mb_strlen(string $text): int { return preg_match_all('/./us', $text); }
}

// Where things are.
function home_url(string $path = ''): string { return 'http://' . $_SERVER['HTTP_HOST'] . '/' . ltrim($path, '/'); }
function plugin_basename(string $file): string { return 'beckon/' . basename($file); }
function plugins_url(string $path, string $file): string { return home_url("/wp-content/plugins/beckon/$path"); }
function is_customize_preview(): bool { return isset($_GET['customize_changeset_uuid']); }

// Scripts.
$footer = [];
function wp_enqueue_script(string $handle, string $src, array $deps, string $version, array $args): void { $GLOBALS['footer'][] = ['src' => "$src?ver=$version", 'defer' => $args['strategy'] === 'defer']; }
function attributes(array $attributes): string
{
    $said = '';
    foreach ($attributes as $name => $value) {
        $said .= $value === true ? ' ' . esc_attr($name) : ($value === false ? '' : sprintf(' %s="%s"', esc_attr($name), esc_attr($value)));
    }
    return $said;
}
function wp_print_script_tag(array $attributes): void { echo '<script' . attributes($attributes) . "></script>\n"; }
function wp_print_inline_script_tag(string $text, array $attributes = []): void { echo '<script' . attributes($attributes) . ">\n$text\n</script>\n"; }

// Requests, in and out.
function nocache_headers(): void { header('Cache-Control: no-cache, must-revalidate, max-age=0, no-store, private'); }
/** Guests are user 0 without a session of WordPress's own: one nonce for all of them, unless the filter tells them apart. */
function wp_create_nonce(string $action): string { return substr(hash('sha256', "nonce|$action|" . apply_filters('nonce_user_logged_out', 0, $action)), 0, 10); }
function check_ajax_referer(string $action, string $arg): void
{
    if (!hash_equals(wp_create_nonce($action), (string) ($_REQUEST[$arg] ?? ''))) {
        http_response_code(403);
        exit('-1');
    }
}
function wp_send_json(mixed $data, int $status = 200): never
{
    http_response_code($status);
    header('Content-Type: application/json');
    echo json_encode($data);
    exit;
}
final class WP_Error
{
    public function __construct(private string $message) {}
    public function get_error_message(): string { return $this->message; }
}
function is_wp_error(mixed $thing): bool { return $thing instanceof WP_Error; }
function wp_remote_request(string $url, array $args): array|WP_Error
{
    $headers = '';
    foreach ($args['headers'] ?? [] as $name => $value) {
        $headers .= "$name: $value\r\n";
    }
    $body = @file_get_contents($url, false, stream_context_create(['http' => [
        'method' => $args['method'], 'header' => $headers, 'content' => $args['body'] ?? '', 'timeout' => $args['timeout'], 'follow_location' => 0, 'ignore_errors' => true,
    ]]));
    if ($body === false) {
        return new WP_Error('could not connect');
    }
    $said = ['code' => (int) explode(' ', $http_response_header[0])[1], 'body' => $body, 'headers' => []];
    foreach (array_slice($http_response_header, 1) as $line) {
        [$name, $value] = explode(':', $line, 2) + [1 => ''];
        $said['headers'][strtolower($name)] = trim($value);
    }
    return $said;
}
function wp_remote_post(string $url, array $args): array|WP_Error { return wp_remote_request($url, ['method' => 'POST'] + $args); }
function wp_remote_get(string $url, array $args): array|WP_Error { return wp_remote_request($url, ['method' => 'GET'] + $args); }
function wp_remote_retrieve_response_code(array $reply): int { return $reply['code']; }
function wp_remote_retrieve_body(array $reply): string { return $reply['body']; }
function wp_remote_retrieve_header(array $reply, string $name): string { return $reply['headers'][$name] ?? ''; }

// WP-Cron.
function wp_next_scheduled(string $hook): int|false { return State::$all['cron'][$hook] ?? false; }
function wp_schedule_event(int $at, string $every, string $hook): void { State::$all['cron'][$hook] = $at; }
function wp_clear_scheduled_hook(string $hook): void { unset(State::$all['cron'][$hook]); }

// The settings page.
$fields = $settings = [];
function register_setting(string $group, string $name, array $args): void { $GLOBALS['settings'][$name] = $args['sanitize_callback']; }
function add_settings_section(string $id, string $title, callable $f, string $page): void {}
function add_settings_field(string $id, string $title, callable $f, string $page, string $section, array $args): void { $GLOBALS['fields'][] = [$title, $f, $args]; }
function add_options_page(string $title, string $menu, string $capability, string $slug, callable $f): void { $GLOBALS['page'] = [$capability, $f]; }
function settings_fields(string $group): void {}
function do_settings_sections(string $page): void
{
    foreach ($GLOBALS['fields'] as [$title, $f, $args]) {
        echo "<label>$title ";
        $f($args);
        echo '</label>';
    }
}
/** What options.php does with the form of somebody who has only that capability. */
function save_settings(string $page, string $capability): int
{
    if (apply_filters("option_page_capability_$page", 'manage_options') !== $capability) {
        return 403;
    }
    foreach (array_keys($GLOBALS['settings']) as $name) {
        update_option($name, isset($_POST[$name]) ? trim(wp_unslash($_POST[$name])) : null);
    }
    return 200;
}
function submit_button(): void { echo '<button>Save</button>'; }
if (getenv('BECKON_SHOP_CONSENT')) { // the plugin of the WP Consent API is there
    function wp_has_consent(string $category): bool { return true; }
}
