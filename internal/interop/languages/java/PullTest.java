import java.net.*;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.*;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.regex.Pattern;

class PullTest {
    static final HttpClient client = HttpClient.newHttpClient();
    static String control, token;
    static void check(boolean holds, Object message) { if (!holds) throw new AssertionError(message); }
    static HttpRequest get(String url) { return HttpRequest.newBuilder(URI.create(url)).build(); }
    static HttpResponse<byte[]> pull(String url) throws Exception { return client.send(get(url), BodyHandlers.ofByteArray()); }
    static String sha256(byte[] b) throws Exception { return "sha256:" + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(b)); }
    static String field(String json, String name) {
        return Pattern.compile("\"" + name + "\":\\[*\"?([^\",\\]}]*)").matcher(json).results().map(m -> m.group(1)).reduce((a, b) -> a + " " + b).orElseThrow();
    }
    static String control(String method, String path, String body) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(control + path)).method(method, BodyPublishers.ofString(body)).header("Authorization", "Bearer " + token).build();
        var response = client.send(request, BodyHandlers.ofString());
        check(response.statusCode() < 300, response.body());
        return response.body();
    }
    public static void main(String[] args) throws Exception {
        var file = Files.createTempDirectory("pull").resolve("ready.json");
        var ocireg = new ProcessBuilder("ocireg", "-quiet", "-addr", ":0", "-control", ":0", "-ready-file", "" + file).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        try {
            for (; !Files.exists(file); Thread.sleep(10)) check(ocireg.isAlive(), "ocireg has ended");
            var ready = Files.readString(file);
            control = field(ready, "control"); token = field(ready, "token");
            var image = control("POST", "/v1/content", "{\"ref\": \"team/app:v1\", \"image\": {\"layers\": 1}}");
            String layer = field(image, "layers"), repo = field(ready, "registry") + "/v2/team/app/", manifest = repo + "manifests/v1", blob = repo + "blobs/" + layer;

            control("POST", "/v1/faults", "get-manifest times=2 status=503");
            for (int want : new int[] {503, 503, 200}) check(pull(manifest).statusCode() == want, want);
            check(field(control("GET", "/v1/requests?op=get-manifest&repo=team/app", ""), "status").equals("503 503 200"), "other requests");
            control("DELETE", "/v1/faults?check", ""); // fails unless the rule hit two requests

            var hold = field(control("POST", "/v1/holds", "get-blob"), "id");
            var pulled = client.sendAsync(get(blob), BodyHandlers.ofByteArray());
            check(field(control("GET", "/v1/holds/" + hold + "?wait=10s", ""), "waiting").startsWith("get-blob team/app@"), "nothing waits");
            check(!pulled.isDone(), "the gate is open");
            control("POST", "/v1/holds/" + hold + "/release", "");
            check(sha256(pulled.get().body()).equals(layer), "another layer");

            control("POST", "/v1/reset", "{\"keep\": [\"content\"]}");
            pull(manifest);
            control("POST", "/v1/faults", "get-blob once close=100");
            try { check(pull(blob) == null, "a part is taken for all"); } catch (java.io.IOException expected) { }
            check(sha256(pull(blob).body()).equals(layer), "another layer");
            var golden = control("GET", "/v1/requests?format=golden", "");
            check(golden.equals(Files.readString(Path.of(args[0]))), golden);
            control("POST", "/v1/reset", "");
            check(pull(manifest).statusCode() == 404, "the image is still there");
        } finally { ocireg.destroy(); ocireg.waitFor(); }
    }
}
