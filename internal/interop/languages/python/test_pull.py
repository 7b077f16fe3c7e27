import concurrent.futures, hashlib, http.client, json, pathlib, subprocess, tempfile, time, unittest, urllib.error, urllib.request


def request(method, url, body=None, **header):
    with urllib.request.urlopen(urllib.request.Request(url, body and body.encode(), header, method=method)) as response:
        return response.read()


class TestPull(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ready = pathlib.Path(tempfile.mkdtemp(), "ready.json")
        cls.ocireg = subprocess.Popen(["ocireg", "-quiet", "-addr", ":0", "-control", ":0", "-ready-file", ready], stdout=subprocess.DEVNULL)
        cls.addClassCleanup(cls.ocireg.wait)
        cls.addClassCleanup(cls.ocireg.terminate)
        while not ready.exists():
            assert cls.ocireg.poll() is None, "ocireg has ended"
            time.sleep(0.01)
        cls.ready = json.loads(ready.read_text())

    def control(self, method, path, body=None, **header):
        return request(method, self.ready["control"] + path, body, Authorization="Bearer " + self.ready["token"], **header)

    def setUp(self):
        self.image = json.loads(self.control("POST", "/v1/content", '{"ref": "team/app:v1", "image": {"layers": 1}}'))
        self.manifest = self.ready["registry"] + "/v2/team/app/manifests/v1"
        self.blob = self.ready["registry"] + "/v2/team/app/blobs/" + self.image["layers"][0]
        self.addCleanup(self.control, "POST", "/v1/reset")

    def test_retry(self):
        self.control("POST", "/v1/faults", "get-manifest times=2 status=503")
        for _ in range(2):
            self.assertRaisesRegex(urllib.error.HTTPError, "503", request, "GET", self.manifest)
        self.assertEqual(self.image["digest"], "sha256:" + hashlib.sha256(request("GET", self.manifest)).hexdigest())
        requests = self.control("GET", "/v1/requests?op=get-manifest&repo=team/app").splitlines()
        self.assertEqual([503, 503, 200], [json.loads(r)["status"] for r in requests])
        self.control("DELETE", "/v1/faults?check")  # fails unless the rule hit two requests

    def test_gate(self):
        hold = json.loads(self.control("POST", "/v1/holds", "get-blob"))["id"]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pull = pool.submit(request, "GET", self.blob)
            self.assertEqual(1, len(json.loads(self.control("GET", f"/v1/holds/{hold}?wait=10s"))["waiting"]))
            self.assertFalse(pull.done())
            self.control("POST", f"/v1/holds/{hold}/release")
            self.assertEqual(self.image["layers"][0], "sha256:" + hashlib.sha256(pull.result()).hexdigest())

    def test_cut(self):
        self.control("POST", "/v1/faults", "get-blob once close=100")
        request("GET", self.manifest)
        self.assertRaisesRegex(http.client.IncompleteRead, r"\(100 bytes read", request, "GET", self.blob)
        request("GET", self.blob)
        golden = self.control("GET", "/v1/requests", Accept="text/x-golden").decode()
        self.assertEqual(pathlib.Path(__file__).parent.joinpath("../pull.golden").read_text(), golden)

    def test_reset(self):
        self.control("POST", "/v1/reset")
        self.assertRaisesRegex(urllib.error.HTTPError, "404", request, "GET", self.manifest)
