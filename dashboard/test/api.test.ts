import { beforeEach, describe, expect, it, vi } from "vitest";
import { ask, forgetAnswers } from "../src/lib/api";

// As the server sent them: whole numbers, parts of conversions, amounts by currency, nothing at all.
const RECORDED = {
  stats: `{"metric":"sum","rows":[{"source":"facebook","value":{"EUR":49.0,"USD":0.1}},{"source":null,"value":null}]}`,
  attribution: `{"conversion":"signup","model":"linear","stitch":"next","rows":[{"source":"google","medium":"organic","conversions":22.073299533,"persons":12,"influenced":14,"touches":9007199254740991,"lag_seconds":null}],"total":{"conversions":40,"persons":12,"outside_window":0,"influenced":14,"touches":31,"lag_seconds":null}}`,
};

describe("the dashboard's way to the server", () => {
  beforeEach(() => forgetAnswers());

  it("hands on what was answered, number by number", async () => {
    for (const [name, text] of Object.entries(RECORDED)) {
      const fetched = vi.fn(async () => new Response(text, { status: 200 }));
      vi.stubGlobal("fetch", fetched);
      const asked = { filters: "country==DE", from: "30d" };
      const question = name === "stats" ? "/v1/stats" : "/v1/attribution";
      const answer = await ask(question, asked as never);
      expect(answer).toEqual({ ok: true, data: JSON.parse(text) });
      const [[url]] = fetched.mock.calls as unknown as [[string]];
      expect(url).toContain(`${question}?filters=country%3D%3DDE&from=30d`);
      // What is kept for half a minute is the same.
      expect(await ask(question, asked as never)).toEqual(answer);
      expect(fetched).toHaveBeenCalledTimes(1);
      vi.unstubAllGlobals();
    }
  });
});
